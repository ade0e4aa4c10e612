"""RecordStore on DynamoDB: one table, partition key `collection` (S), sort key `id` (S).

An item is kept as JSON text, so whatever JSON can say comes back as it was: floats, integers of any size, empty
strings. DynamoDB sorts text by its UTF-8 bytes, which is the order of code points.
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Mapping
from typing import Any

from genai_stack.errors import ConditionFailed, LimitReached, RequestError, TooLarge
from genai_stack.ports import Record

from . import session
from .faults import code_of, translated

MAX_ID_BYTES = 1024
MAX_COLLECTION_BYTES = 1024
ITEM_BYTES = 400 * 1024
"""DynamoDB's limit for an item, names and keys included."""
OVERHEAD_BYTES = 200
"""Room for the attributes' names, the version and the write's mark."""
BOUND = 255
"""Characters of a query's bound that DynamoDB is told; they fit any key, and the rest is compared here."""
COUNTERS = "#counters"
"""Counters live in a partition beside their collection's."""
EXPIRES = "expires"
"""The table's TTL attribute, in Unix seconds. DynamoDB takes an item away some time after it."""
_LIVE = "(attribute_not_exists(#expires) OR #expires > :now)"


class DynamoRecords:
    """Safe from any thread and from any number of machines; every read sees the last write.

    Each write carries a mark of its own. A write whose answer was lost, and that the client sent again, finds its mark
    there and knows that it was done: it is neither refused by its own effect nor counted twice. Only when another
    write of the same record gets in between is that memory gone.
    """

    def __init__(self, table: str, *, client: Any = None) -> None:
        self._table = table
        self._client = client or session.client("dynamodb")
        self._name = f"the table {table}"

    def get(self, collection: str, id: str) -> Record | None:
        if not _storable(id):
            return None
        with translated("dynamodb", self._name):
            reply = self._client.get_item(TableName=self._table, Key=_key(collection, id), ConsistentRead=True)
        return _record(reply["Item"]) if "Item" in reply and _live(reply["Item"]) else None

    def put(
        self,
        collection: str,
        id: str,
        item: Mapping[str, Any],
        *,
        if_version: int | None = None,
        expires: float | None = None,
    ) -> Record:
        """As the port says; RequestError for an id that isn't 1 to 1024 bytes of UTF-8, ValueError for NaN or
        Infinity, TooLarge over 400 kB."""
        _check(id)
        text = _text(item, id)
        condition, values = _expected(if_version)
        change = "SET #item = :item, #version = if_not_exists(#version, :none) + :one, #mark = :mark"
        if expires is None:
            change += " REMOVE #expires"
        else:
            change += ", #expires = :expires"
            values[":expires"] = {"N": str(math.ceil(expires))}
        reply = self._update(
            _key(collection, id),
            change,
            condition,
            {":item": {"S": text}, ":none": {"N": "0"}, ":one": {"N": "1"}, **values},
            names={"#item": "item", "#version": "version", "#expires": EXPIRES},
        )
        if reply is None:
            raise _conflict(collection, id, if_version)
        return Record(id, json.loads(text), int(reply["version"]["N"]))

    def delete(self, collection: str, id: str, *, if_version: int | None = None) -> None:
        if not _storable(id):
            if if_version:
                raise _conflict(collection, id, if_version)
            return
        condition, values = _expected(if_version)
        options: dict[str, Any] = {"ConditionExpression": condition} if condition else {}
        if condition:
            options["ExpressionAttributeNames"] = {"#version": "version", "#expires": EXPIRES}
        if values:
            options["ExpressionAttributeValues"] = values
        with translated("dynamodb", self._name):
            try:
                self._client.delete_item(TableName=self._table, Key=_key(collection, id), **options)
            except self._client.exceptions.ConditionalCheckFailedException:
                raise _conflict(collection, id, if_version) from None

    def query(
        self,
        collection: str,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int = 100,
        descending: bool = False,
    ) -> list[Record]:
        low, high = prefix, _beyond(prefix)
        if after is not None and descending:
            high = after if high is None else min(high, after)
        elif after is not None:
            low = max(low, after)
        low, high = low[:BOUND], high if high is None or len(high) <= BOUND else _beyond(high[:BOUND])
        if limit <= 0 or high == "" or (high is not None and low > high) or not _utf8(low + (high or "")):
            return []

        def asked(id: str) -> bool:
            return id.startswith(prefix) and (after is None or (id < after if descending else id > after))

        found: list[Record] = []
        start: dict[str, Any] = {}
        while True:
            # One more at either end: bounds are inclusive, and the ends themselves don't belong.
            page = self._page(collection, low, high, descending, limit - len(found) + 2, start)
            for item in page["Items"]:
                if asked(item["id"]["S"]) and _live(item) and len(found) < limit:
                    found.append(_record(item))
            if len(found) >= limit or "LastEvaluatedKey" not in page:
                return found
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def add(self, collection: str, id: str, amount: int, *, ceiling: int | None = None) -> int:
        """As the port says. The sum is compared with the ceiling whatever the sign of `amount`."""
        _check(id)
        condition, values = None, {}
        if ceiling is not None:
            values = {":room": {"N": str(ceiling - amount)}}
            condition = "#value <= :room"
            if amount <= ceiling:
                condition = f"(attribute_not_exists(#value) OR {condition})"
        reply = self._update(
            _key(f"{collection}{COUNTERS}", id),
            "SET #value = if_not_exists(#value, :none) + :amount, #mark = :mark",
            condition,
            {":none": {"N": "0"}, ":amount": {"N": str(amount)}, **values},
            names={"#value": "value"},
        )
        if reply is None:
            raise LimitReached(f"{collection} {id} would pass its limit of {ceiling}")
        return int(reply["value"]["N"])

    def close(self) -> None:
        """Closes idle connections; the store opens new ones on use."""
        self._client.close()

    def _update(
        self,
        key: dict[str, Any],
        change: str,
        condition: str | None,
        values: dict[str, Any],
        *,
        names: dict[str, str],
    ) -> dict[str, Any] | None:
        """The item as this update left it; None when the condition doesn't hold."""
        mark = secrets.token_urlsafe(12)
        fresh = "(attribute_not_exists(#mark) OR #mark <> :mark)"
        with translated("dynamodb", self._name):
            try:
                reply = self._client.update_item(
                    TableName=self._table,
                    Key=key,
                    UpdateExpression=change,
                    ConditionExpression=f"{fresh} AND {condition}" if condition else fresh,
                    ExpressionAttributeNames={**names, "#mark": "mark"},
                    ExpressionAttributeValues={**values, ":mark": {"S": mark}},
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except self._client.exceptions.ConditionalCheckFailedException as error:
                there: dict[str, Any] = error.response.get("Item", {})
                return there if there.get("mark") == {"S": mark} else None
            except self._client.exceptions.ClientError as error:
                if code_of(error) == "ValidationException" and "size has exceeded" in str(error):
                    raise _too_large(key["id"]["S"]) from None
                raise
        return dict(reply["Attributes"])

    def _page(
        self,
        collection: str,
        low: str,
        high: str | None,
        descending: bool,
        limit: int,
        start: dict[str, Any],
    ) -> dict[str, Any]:
        condition, values = "#collection = :collection", {":collection": {"S": collection}}
        names = {"#collection": "collection"}
        # A key is never empty, and a bound mustn't be.
        if low and high is not None:
            condition += " AND #id BETWEEN :low AND :high"
        elif low:
            condition += " AND #id >= :low"
        elif high is not None:
            condition += " AND #id <= :high"
        if low:
            values[":low"] = {"S": low}
        if high is not None:
            values[":high"] = {"S": high}
        if low or high is not None:
            names["#id"] = "id"
        with translated("dynamodb", self._name):
            page: dict[str, Any] = self._client.query(
                TableName=self._table,
                KeyConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ScanIndexForward=not descending,
                ConsistentRead=True,
                Limit=limit,
                **start,
            )
        return page


def _record(item: Mapping[str, Any]) -> Record:
    return Record(item["id"]["S"], json.loads(item["item"]["S"]), int(item["version"]["N"]))


def _live(item: Mapping[str, Any]) -> bool:
    return EXPIRES not in item or int(item[EXPIRES]["N"]) > time.time()


def _key(collection: str, id: str) -> dict[str, Any]:
    return {"collection": {"S": collection}, "id": {"S": id}}


def _expected(version: int | None) -> tuple[str | None, dict[str, Any]]:
    """The condition under which a write of `if_version` is allowed, and its values."""
    if version is None:
        return None, {}
    now = {":now": {"N": str(int(time.time()))}}
    if version == 0:
        return "(attribute_not_exists(#version) OR #expires <= :now)", now
    return f"#version = :expected AND {_LIVE}", {":expected": {"N": str(version)}, **now}


def _text(item: Mapping[str, Any], id: str) -> str:
    text = json.dumps(dict(item), separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    if not _utf8(text):  # a lone surrogate: JSON can spell it, UTF-8 can't
        text = json.dumps(dict(item), separators=(",", ":"), allow_nan=False)
    if len(text.encode()) > ITEM_BYTES - MAX_ID_BYTES - MAX_COLLECTION_BYTES - OVERHEAD_BYTES:
        raise _too_large(id)
    return text


def _beyond(prefix: str) -> str | None:
    """The least text above everything that begins with `prefix`; None when there is no such text."""
    while prefix:
        last = ord(prefix[-1])
        if last < 0x10FFFF:
            return prefix[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)
        prefix = prefix[:-1]
    return None


def _utf8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _storable(id: str) -> bool:
    return _utf8(id) and 0 < len(id.encode()) <= MAX_ID_BYTES


def _check(id: str) -> None:
    if not _utf8(id):
        raise RequestError("an id is UTF-8 text; this one holds a lone surrogate")
    if not _storable(id):
        raise RequestError(f"an id has 1 to {MAX_ID_BYTES} bytes, this one {len(id.encode())}; choose another")


def _conflict(collection: str, id: str, version: int | None) -> ConditionFailed:
    now = "exists" if version == 0 else f"isn't at version {version}"
    return ConditionFailed(f"{collection} {id[:200]!r} {now}; read it again")


def _too_large(id: str) -> TooLarge:
    return TooLarge(f"record {id[:200]!r} is over DynamoDB's 400 kB; put what is large into the object store")
