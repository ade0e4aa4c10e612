"""A tenant's responses: what is kept of them, and what the next one goes on from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from ...errors import Conflict, GenAIStackError, NotFound, ObjectNotFound, RequestError
from ...ports import RecordStore
from ...protocol.items import PREFIXES, REFERENCE, InputItem, Item, kept, kind_of, kind_of_kept, without_results
from ...protocol.responses import RESULTS, ItemList, Response, ResponseFault
from ..resources.once import Claim, Once, gone
from ..resources.shelf import Page, Shelf
from . import records as records_of
from .conversations import Conversations, tail
from .listing import listed
from .naming import own, owner_of
from .overflow import Allowance, Overflow
from .records import Body, StoredResponse
from .turns import Turns

LONGEST_CHAIN = 1000


class Responses:
    """All of it waits on stores: call it in a thread. `stop` ends the work on a background response of this process,
    and returns at once."""

    def __init__(
        self,
        records: RecordStore,
        overflow: Overflow,
        conversations: Conversations,
        turns: Turns,
        once: Once,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._overflow, self._conversations, self._turns = overflow, conversations, turns
        self._once, self._clock = once, clock
        self._shelf = Shelf(
            records, StoredResponse, "responses", "resp_", "response", hint="one with 'store: false' isn't kept"
        )
        self.stop: Callable[[str], None] = _nothing
        turns.counts = self._well

    def claim(self, tenant: str, key: bytes | None, asked: str) -> tuple[Claim, Response | None]:
        """The id of a response to make, and the response where it was made before. Raises Conflict."""
        claim = self._once.claim(tenant, key, f"responses {asked}", self._shelf.new_id())
        if key is None:
            return claim, None
        if (stored := self._found(tenant, claim.id)) is not None:
            self._once.made(tenant, key, claim)
            return claim, self._shown(stored)
        if claim.made:
            raise gone(claim)
        return claim, None

    def history(self, tenant: str, previous: str | None, conversation: str | None) -> list[Item]:
        """What a new response goes on from, oldest first. Raises NotFound, and RequestError for a response that can't
        be gone on from, and where it is too much."""
        if conversation is not None:
            return self._conversations.items(tenant, conversation, Allowance("conversation"))
        allowance = Allowance("previous_response_id")
        turns: list[list[Item]] = []
        while previous is not None:
            stored = self._found(tenant, previous)
            if stored is None:
                raise _no_previous(previous, first=not turns)
            if not stored.well:
                raise RequestError(
                    f"The response {previous} is {stored.status}; go on from one that is completed.",
                    param="previous_response_id",
                    code="invalid_value",
                )
            if len(turns) == LONGEST_CHAIN:
                raise RequestError(
                    f"The chain of responses is longer than {LONGEST_CHAIN}; begin a new one with a summary.",
                    param="previous_response_id",
                    code="invalid_value",
                )
            allowance.take(stored.body)
            body = self._body(stored)
            turns.append([*body.input, *body.response.output])
            previous = stored.previous
        return [item for turn in reversed(turns) for item in turn]

    def given(self, tenant: str, id: str, items: list[InputItem], conversation: str | None) -> list[Item]:
        """The input of the response `id` as it is kept: under ids of its own, with what it refers to in the place of
        references. Raises NotFound for one that leads to nothing, RequestError where they lead to too much."""
        referred, copied = self._referring(tenant, conversation), Allowance("input")
        found: list[Item] = []
        for place, item in enumerate(items):
            if kind_of(item) != REFERENCE:
                found.append(kept(item, own(PREFIXES[kind_of(item)], id, place)))
                continue
            name = item.id or ""
            if (there := referred(name)) is None:
                raise NotFound(
                    f"There is no item {name[:80]!r} in a response that is kept, or in this conversation; send the "
                    "item itself.",
                    param=f"input[{place}].id",
                )
            # Each time it is named: a reference is shorter than what it stands for.
            copied.spend(len(msgspec.json.encode(there)))
            found.append(msgspec.structs.replace(there, id=own(PREFIXES[kind_of_kept(there)], id, place)))
        return found

    def _referring(self, tenant: str, conversation: str | None) -> Callable[[str], Item | None]:
        """Finds items by their ids; each response, and the conversation, is read once."""
        allowance, known, read = Allowance("input"), dict[str, Item](), set[str]()

        def referred(name: str) -> Item | None:
            if (owner := owner_of(name)) is not None and owner not in read:
                read.add(owner)
                if (stored := self._found(tenant, owner)) is not None:
                    allowance.take(stored.body)
                    known.update((one.id, one) for one in self._body(stored).items)
            if name not in known and conversation is not None and conversation not in read:
                read.add(conversation)
                there = self._conversations.items(tenant, conversation, Allowance("conversation"))
                known.update((one.id, one) for one in there if one.id not in known)
            return known.get(name)

        return referred

    def keep(
        self, tenant: str, claim: Claim, key: bytes | None, response: Response, given: list[Item]
    ) -> Response:
        """A response that has ended, and its turn in its conversation; answers with the one that was kept before, where
        there is one."""
        conversation = response.conversation.id if response.conversation else None
        if conversation is not None and self._conversations.there(tenant, conversation):
            waits = claim.id if response.store else None
            self._turns.add(tenant, conversation, tail(claim.id), [*given, *response.output], waits)
        if not response.store:
            return response
        new = self._stored(Body(response, given))
        if not self._shelf.add(tenant, new):
            self._overflow.drop(new.body.blob)
        self._once.made(tenant, key, claim)
        self._settle(tenant, new)
        return self._shown(self._shelf.get(tenant, claim.id))

    def queue(
        self,
        tenant: str,
        claim: Claim,
        key: bytes | None,
        response: Response,
        given: list[Item],
        streamed: bool,
    ) -> tuple[Response, bool]:
        """A background response before it runs, with a promise that it will; and whether it is new, so that nobody else
        runs it."""
        alive = self._clock() + records_of.LEASE_SECONDS
        new = self._stored(Body(response, given), background=True, streamed=streamed, alive=alive)
        if not self._shelf.add(tenant, new):
            self._overflow.drop(new.body.blob)
            self._once.made(tenant, key, claim)
            return self._shown(self._shelf.get(tenant, claim.id)), False
        # From here on it has to run: whoever sends the request again finds it, and notes that it was made.
        with suppress(Exception):
            self._once.made(tenant, key, claim)
        return response, True

    def begin(self, tenant: str, id: str) -> StoredResponse:
        return self._shelf.change(tenant, id, records_of.begun)

    def live(self, tenant: str, id: str) -> StoredResponse:
        """Promises LEASE_SECONDS more. Raises NotFound for one that was deleted."""
        until = self._clock() + records_of.LEASE_SECONDS
        return self._shelf.change(tenant, id, lambda now: records_of.lives(now, until))

    def finish(
        self, tenant: str, response: Response, given: list[Item], events: bytes | None = None
    ) -> StoredResponse:
        """The end of a background response, unless it has ended otherwise. Raises NotFound."""
        id, conversation = response.id, response.conversation.id if response.conversation else None
        if conversation is not None and self._conversations.there(tenant, conversation):
            self._turns.add(tenant, conversation, tail(id), [*given, *response.output], id)
        told = None if events is None else self._overflow.write(f"responses/{id}", events)
        laid = self._overflow.lay(f"responses/{id}", Body(response, given))
        try:
            before = self._shelf.get(tenant, id)
            now = self._shelf.change(
                tenant, id, lambda now: records_of.finished(now, response.status, laid, told)
            )
        except NotFound:
            self._overflow.drop(laid.blob, told)
            self._unsaid(tenant, id, conversation)
            raise
        self._overflow.drop(*({laid.blob, told, before.body.blob} - {now.body.blob, now.events}))
        if now.well:
            self._settle(tenant, now)
        else:
            self._unsaid(tenant, id, conversation)
        return now

    def fail(self, tenant: str, id: str, fault: ResponseFault) -> StoredResponse:
        return self._shelf.change(tenant, id, lambda now: records_of.failed(now, fault))

    def get(self, tenant: str, id: str) -> StoredResponse:
        """As it is now. Raises NotFound."""
        if (stored := self._found(tenant, id)) is None:
            raise self._shelf.absent(id)
        return stored

    def shown(self, stored: StoredResponse, include: tuple[str, ...] = ()) -> Response:
        """Raises NotFound for one that was deleted meanwhile."""
        try:
            return visible(self._shown(stored), include)
        except ObjectNotFound:
            raise self._shelf.absent(stored.id) from None

    def events(self, stored: StoredResponse) -> bytes | None:
        return self._overflow.content(stored.events) if stored.events is not None else None

    def cancel(self, tenant: str, id: str) -> StoredResponse:
        """Final: nothing it generates from here on is kept. Raises NotFound, RequestError for one that isn't in the
        background, Conflict for one that has ended otherwise."""
        stored = self.get(tenant, id)
        if not stored.background:
            raise RequestError(
                "Only a response made with 'background: true' can be cancelled; close the connection to stop another.",
                param="id",
                code="not_in_background",
            )
        now = self._shelf.change(tenant, id, records_of.cancelled)
        self.stop(id)
        if now.status != "cancelled":
            raise Conflict(f"This response is {now.status}; it can't be cancelled.", code="response_ended")
        return now

    def delete(self, tenant: str, id: str) -> None:
        """With what it is made of; its turn stays in its conversation. Raises NotFound."""
        stored = self._shelf.change(tenant, id, records_of.cancelled)
        self.stop(id)
        self._settle(tenant, stored)
        self._shelf.remove(tenant, id)
        self._overflow.drop(stored.body.blob, stored.events)

    def input_items(self, tenant: str, id: str, page: Page, *, results: bool) -> ItemList:
        """What it was given itself. Raises NotFound, RequestError."""
        items = self._body(self.get(tenant, id)).input
        return listed(items if page.order == "asc" else items[::-1], page, results=results)

    def _found(self, tenant: str, id: str) -> StoredResponse | None:
        stored = self._shelf.find(tenant, id)
        if stored is None or stored.ended:
            return stored
        try:
            return self._shelf.change(tenant, id, lambda now: records_of.looked_at(now, self._clock()))
        except NotFound:
            return None

    def _well(self, tenant: str, id: str) -> bool:
        stored = self._shelf.find(tenant, id)
        return stored is not None and stored.well

    def _settle(self, tenant: str, stored: StoredResponse) -> None:
        if stored.conversation is not None and stored.well:
            self._turns.settle(tenant, stored.conversation, tail(stored.id))

    def _unsaid(self, tenant: str, id: str, conversation: str | None) -> None:
        """It won't be in its conversation."""
        if conversation is not None:
            self._turns.give_up(tenant, conversation, tail(id))

    def _stored(self, body: Body, **more: object) -> StoredResponse:
        response = body.response
        ended = {} if more else {"ended_at": response.completed_at}
        return StoredResponse(
            response.id,
            response.status,
            self._overflow.lay(f"responses/{response.id}", body),
            response.previous_response_id,
            response.conversation.id if response.conversation else None,
            **more,  # type: ignore[arg-type]
            **ended,  # type: ignore[arg-type]
        )

    def _body(self, stored: StoredResponse) -> Body:
        try:
            return self._overflow.read(stored.body, Body)
        except ObjectNotFound:
            raise self._shelf.absent(stored.id) from None

    def _shown(self, stored: StoredResponse) -> Response:
        return stored.shown(self._body(stored))


def visible(response: Response, include: Sequence[str] | None) -> Response:
    """With what was found in files where `include` asks for it."""
    if RESULTS in (include or ()):
        return response
    return msgspec.structs.replace(response, output=[without_results(item) for item in response.output])


def _no_previous(id: str, *, first: bool) -> GenAIStackError:
    what = f"There is no response {id[:80]!r}"
    if not first:
        what = "An earlier response of this chain was deleted"
    return NotFound(
        f"{what}; send the conversation as 'input' instead.",
        param="previous_response_id",
        code="previous_response_not_found",
    )


def _nothing(id: str) -> None:
    pass
