"""Idempotency-Key: a create that is sent again has one effect.

The first to come with a key claims it: the claim says what was asked (a digest) and under which id it is made. Whoever
comes with the same key makes the same thing under the same id, or finds it made. A claim counts for a day, and its
record goes then.
"""

from __future__ import annotations

import hashlib
import time

import msgspec

from ...errors import ConditionFailed, Conflict
from ...ports import Record, RecordStore

COLLECTION = "idempotency"
KEPT_SECONDS = 86_400.0


class Claim(msgspec.Struct, frozen=True):
    """`made` says that the thing was there once: if it isn't now, it was deleted."""

    digest: str
    id: str
    created: float
    made: bool = False


class Once:
    def __init__(self, records: RecordStore) -> None:
        self._records = records

    def claim(self, tenant: str, key: bytes | None, asked: str, fresh: str) -> Claim:
        """The claim on `key`: the one there is, else a new one for the id `fresh`. `asked` tells requests apart. Raises
        Conflict when the key was used for another request."""
        new = Claim(_digest(asked), fresh, time.time())
        if key is None:
            return new
        place, id = _place(tenant, key)
        while True:
            record = self._records.get(place, id)
            if (there := _counting(record, asked)) is not None:
                return there
            try:
                version = record.version if record else 0
                expires = new.created + KEPT_SECONDS
                self._records.put(place, id, msgspec.to_builtins(new), if_version=version, expires=expires)
                return new
            except ConditionFailed:
                continue

    def found(self, tenant: str, key: bytes | None, asked: str) -> Claim | None:
        """The claim there is on `key`, making none. Raises Conflict as `claim` does."""
        return None if key is None else _counting(self._records.get(*_place(tenant, key)), asked)

    def made(self, tenant: str, key: bytes | None, claim: Claim) -> None:
        """Notes that what the claim is for is there."""
        if key is not None and not claim.made:
            place, id = _place(tenant, key)
            item = msgspec.to_builtins(msgspec.structs.replace(claim, made=True))
            self._records.put(place, id, item, expires=claim.created + KEPT_SECONDS)


def _counting(record: Record | None, asked: str) -> Claim | None:
    """The claim that a record has, while it counts. Raises Conflict when it is for another request."""
    there = msgspec.convert(record.item, Claim) if record else None
    if there is None or there.created <= time.time() - KEPT_SECONDS:
        return None
    if there.digest != _digest(asked):
        raise reused()
    return there


def _digest(asked: str) -> str:
    return hashlib.sha256(asked.encode()).hexdigest()


def reused() -> Conflict:
    return Conflict(
        "This Idempotency-Key was used for another request; take a new key for this one.",
        code="idempotency_key_reused",
    )


def gone(claim: Claim) -> Conflict:
    """For a retry whose thing was made and deleted since."""
    return Conflict(
        f"{claim.id}, which was made with this Idempotency-Key, was deleted since; take a new key to make another.",
        code="idempotency_key_reused",
    )


def _place(tenant: str, key: bytes) -> tuple[str, str]:
    return f"{COLLECTION}/{tenant}", hashlib.sha256(key).hexdigest()
