"""What is in a conversation: turns, each of them the items that came at once, so that they are there whole or not.

A response's turn is written before the response is, and waits for it: it counts from the moment the response is kept
as ended, and not at all when it never is. Whoever sees that it counts notes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from ...errors import ConditionFailed, NotFound
from ...ports import RecordStore
from ...protocol.items import Item
from .listing import Gone, Place
from .overflow import Allowance, Laid, Overflow

COLLECTION = "conversation-turns"
_ROWS = 20
"""Turns that are read at a time; each record holds up to 96 kB."""


class Turn(msgspec.Struct, frozen=True):
    """`waits_for` is the id of the response it came from, until that is known to have ended well."""

    id: str
    laid: Laid
    waits_for: str | None = None


class Turns:
    """All of it waits on stores: call it in a thread. `counts` says whether a tenant's response has ended well."""

    def __init__(self, records: RecordStore, overflow: Overflow) -> None:
        self._records, self._overflow = records, overflow
        self.counts: Callable[[str, str], bool] = lambda tenant, response: False

    def add(
        self,
        tenant: str,
        conversation: str,
        id: str,
        items: list[Item],
        waits_for: str | None = None,
        *,
        anew: bool = False,
    ) -> None:
        """A turn that is there and counts stays as it is, unless it is to be made `anew`; one that waits is
        replaced."""
        place = _place(tenant, conversation)
        while True:
            record = self._records.get(place, id)
            before = msgspec.convert(record.item, Turn) if record else None
            if before is not None and not anew and self._counts(tenant, before):
                return
            turn = Turn(id, self._overflow.lay(f"responses/{conversation}/{id}", items), waits_for)
            try:
                self._records.put(
                    place, id, msgspec.to_builtins(turn), if_version=record.version if record else 0
                )
            except ConditionFailed:
                self._overflow.drop(turn.laid.blob)
                continue
            if before is not None:
                self._overflow.drop(before.laid.blob)
            return

    def places(
        self,
        tenant: str,
        conversation: str,
        *,
        but: str | None = None,
        descending: bool = False,
        allowance: Allowance | None = None,
    ) -> Iterator[Place]:
        """All items, oldest first unless `descending`, with what was deleted marked; without those of the turn `but`; a
        turn in memory at a time. Raises RequestError where there is an `allowance`, and they are more."""
        for turn in self._turns(tenant, conversation, descending):
            if turn.id != but and self._counts(tenant, turn):
                if turn.waits_for is not None:
                    self.settle(tenant, conversation, turn.id)
                if allowance is not None:
                    allowance.take(turn.laid)
                places = self._overflow.read(turn.laid, list[Place])
                yield from places[::-1] if descending else places

    def turn(self, tenant: str, conversation: str, id: str) -> list[Item]:
        """The items of one turn."""
        record = self._records.get(_place(tenant, conversation), id)
        turn = msgspec.convert(record.item, Turn) if record else None
        places = self._overflow.read(turn.laid, list[Place]) if turn else []
        return [place for place in places if not isinstance(place, Gone)]

    def settle(self, tenant: str, conversation: str, id: str) -> None:
        """Notes that a turn counts, where it does."""
        place = _place(tenant, conversation)
        record = self._records.get(place, id)
        if record is None:
            return
        turn = msgspec.convert(record.item, Turn)
        if turn.waits_for is None or not self._counts(tenant, turn):
            return
        settled = msgspec.structs.replace(turn, waits_for=None)
        try:
            self._records.put(place, id, msgspec.to_builtins(settled), if_version=record.version)
        except ConditionFailed:  # somebody else did
            return

    def give_up(self, tenant: str, conversation: str, id: str) -> None:
        """Takes out a turn whose response has ended otherwise; one that counts stays."""
        place = _place(tenant, conversation)
        record = self._records.get(place, id)
        turn = msgspec.convert(record.item, Turn) if record else None
        if record is None or turn is None or self._counts(tenant, turn):
            return
        try:
            self._records.delete(place, id, if_version=record.version)
        except ConditionFailed:  # somebody else did something with it
            return
        self._overflow.drop(turn.laid.blob)

    def remove(self, tenant: str, conversation: str, item: str) -> None:
        """Takes one item out. Raises NotFound."""
        place = _place(tenant, conversation)
        for turn in self._turns(tenant, conversation):
            while self._counts(tenant, turn):
                self.settle(tenant, conversation, turn.id)
                if (record := self._records.get(place, turn.id)) is None:
                    break
                turn = msgspec.convert(record.item, Turn)
                places = self._overflow.read(turn.laid, list[Place])
                if all(isinstance(kept, Gone) or kept.id != item for kept in places):
                    break
                left = [Gone(kept.id) if kept.id == item else kept for kept in places]
                laid = self._overflow.lay(f"responses/{conversation}/{turn.id}", left)
                after = msgspec.structs.replace(turn, laid=laid)
                try:
                    self._records.put(place, turn.id, msgspec.to_builtins(after), if_version=record.version)
                except ConditionFailed:
                    self._overflow.drop(laid.blob)
                    continue
                self._overflow.drop(turn.laid.blob)
                return
        raise absent(item)

    def clear(self, tenant: str, conversation: str) -> None:
        for turn in list(self._turns(tenant, conversation)):
            self._records.delete(_place(tenant, conversation), turn.id)
            self._overflow.drop(turn.laid.blob)

    def _counts(self, tenant: str, turn: Turn) -> bool:
        return turn.waits_for is None or self.counts(tenant, turn.waits_for)

    def _turns(self, tenant: str, conversation: str, descending: bool = False) -> Iterable[Turn]:
        after, place = None, _place(tenant, conversation)
        while True:
            records = self._records.query(place, after=after, limit=_ROWS, descending=descending)
            yield from (msgspec.convert(record.item, Turn) for record in records)
            if len(records) < _ROWS:
                return
            after = records[-1].id


def absent(item: str) -> NotFound:
    return NotFound(
        f"There is no item {item[:80]!r} in this conversation; list its items to see what there is.", param="id"
    )


def _place(tenant: str, conversation: str) -> str:
    return f"{COLLECTION}/{tenant}/{conversation}"
