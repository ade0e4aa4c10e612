"""A tenant's conversations: records, with the turns that make them up."""

from __future__ import annotations

import time

import msgspec

from ...ports import RecordStore
from ...protocol.conversations import Conversation, ConversationItems, ConversationRequest
from ...protocol.items import PREFIXES, InputItem, Item, kept, kind_of
from ...protocol.requests import Metadata
from ...protocol.responses import ItemList
from ..resources import ids
from ..resources.once import Claim, Once, gone
from ..resources.shelf import Page, Shelf
from .listing import Gone, listed
from .overflow import Allowance
from .turns import Turns, absent


class StoredConversation(msgspec.Struct, frozen=True):
    id: str
    created_at: int
    metadata: Metadata = {}

    def shown(self) -> Conversation:
        return Conversation(self.id, self.created_at, self.metadata)


class Conversations:
    """All of it waits on stores: call it in a thread."""

    def __init__(self, records: RecordStore, turns: Turns, once: Once) -> None:
        self._turns, self._once = turns, once
        self._shelf = Shelf(
            records, StoredConversation, "conversations", "conv_", "conversation", hint="create one first"
        )

    def create(self, tenant: str, request: ConversationRequest, key: bytes | None) -> StoredConversation:
        """Its items are there before it is. Raises Conflict."""
        claim = self._once.claim(tenant, key, f"conversations {request}", self._shelf.new_id())
        if (there := self._shelf.find(tenant, claim.id)) is not None:
            self._once.made(tenant, key, claim)
            return there
        if claim.made:
            raise gone(claim)
        if request.items:
            self._turns.add(tenant, claim.id, tail(claim.id), named(request.items))
        new = StoredConversation(claim.id, int(time.time()), request.metadata or {})
        self._shelf.add(tenant, new)
        self._once.made(tenant, key, claim)
        return self._shelf.get(tenant, claim.id)

    def get(self, tenant: str, id: str, *, param: str = "id") -> StoredConversation:
        """Raises NotFound."""
        if (found := self._shelf.find(tenant, id)) is None:
            error = self._shelf.absent(id)
            error.param = param
            raise error
        return found

    def there(self, tenant: str, id: str) -> bool:
        return self._shelf.find(tenant, id) is not None

    def update(self, tenant: str, id: str, metadata: Metadata | None) -> StoredConversation:
        return self._shelf.change(tenant, id, lambda now: msgspec.structs.replace(now, metadata=metadata or {}))

    def delete(self, tenant: str, id: str) -> None:
        """With its items. Raises NotFound."""
        self.get(tenant, id)
        self._turns.clear(tenant, id)
        self._shelf.remove(tenant, id)
        self._turns.clear(tenant, id)

    def add(self, tenant: str, id: str, request: ConversationItems, key: bytes | None) -> ItemList:
        """Raises NotFound, Conflict."""
        self.get(tenant, id)
        claim = self._once.claim(tenant, key, f"conversation-items {id} {request}", ids.new(""))
        self._turns.add(tenant, id, claim.id, named(request.items))
        self._once.made(tenant, key, claim)
        items = self._turns.turn(tenant, id, claim.id)
        ends = (items[0].id, items[-1].id) if items else ("", "")
        return ItemList(items, False, *ends)

    def page(self, tenant: str, id: str, page: Page, *, results: bool) -> ItemList:
        """Raises NotFound, RequestError."""
        self.get(tenant, id)
        ordered = self._turns.places(tenant, id, descending=page.order == "desc")
        return listed(ordered, page, results=results)

    def item(self, tenant: str, id: str, item: str) -> Item:
        """Raises NotFound."""
        self.get(tenant, id)
        if (found := self.find(tenant, id, item)) is None:
            raise absent(item)
        return found

    def remove(self, tenant: str, id: str, item: str) -> StoredConversation:
        """Raises NotFound."""
        found = self.get(tenant, id)
        self._turns.remove(tenant, id, item)
        return found

    def items(self, tenant: str, id: str, allowance: Allowance) -> list[Item]:
        """All of them, oldest first. Raises NotFound, which names the parameter 'conversation', and RequestError where
        they are too much."""
        self.get(tenant, id, param="conversation")
        places = self._turns.places(tenant, id, allowance=allowance)
        return [place for place in places if not isinstance(place, Gone)]

    def find(self, tenant: str, id: str, item: str) -> Item | None:
        places = self._turns.places(tenant, id)
        return next((one for one in places if one.id == item and not isinstance(one, Gone)), None)

    def opened(self, tenant: str, id: str | None, key: bytes | None, asked: str) -> tuple[Claim, list[Item]]:
        """A claim on a turn to come, of conversation `id` or of a new one, and what was said there before, oldest
        first. Raises NotFound, which names the parameter 'conversation', Conflict, and RequestError where that is too
        much."""
        if id is not None:
            self.get(tenant, id, param="conversation")
        claim = self._once.claim(tenant, key, asked, self._shelf.new_id())
        if id is None and claim.made and not self.there(tenant, claim.id):
            raise gone(claim)
        if id is None:
            return claim, []
        # its own turn is there where a process died between that and its answer
        before = self._turns.places(tenant, id, but=tail(claim.id), allowance=Allowance("conversation"))
        return claim, [place for place in before if not isinstance(place, Gone)]

    def told(self, tenant: str, id: str | None, key: bytes | None, claim: Claim, items: list[Item]) -> None:
        """Keeps a turn, in a conversation of its own where there is no `id`; not in one that was deleted meanwhile.
        Told again it takes the place of what was kept by the same claim."""
        into = id or claim.id
        if id is None or self.there(tenant, id):
            self._turns.add(tenant, into, tail(claim.id), items, anew=True)
        if id is None:
            self._shelf.add(tenant, StoredConversation(into, int(time.time())))
        self._once.made(tenant, key, claim)


def named(items: list[InputItem]) -> list[Item]:
    """As they are kept, under new ids."""
    return [kept(item, ids.new(PREFIXES[kind_of(item)])) for item in items]


def tail(id: str) -> str:
    """What follows an id's prefix, in the order of time."""
    return id.rpartition("_")[2]
