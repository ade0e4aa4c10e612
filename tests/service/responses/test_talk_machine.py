"""Responses and conversations against a model of them: made, run, cancelled, deleted, gone on from, while the process
dies at any record. A response and its turn in its conversation are there together or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from genai_stack.errors import Conflict, NotFound, RequestError
from genai_stack.protocol.conversations import ConversationItems, ConversationRequest
from genai_stack.protocol.items import InputItem, Item, MessageItem, OutputText, text_of_parts
from genai_stack.protocol.responses import ENDED, Response, ResponseFault, ResponseRequest
from genai_stack.service.resources import ids
from genai_stack.service.resources.once import Claim, Once
from genai_stack.service.resources.shelf import Page
from genai_stack.service.responses.conversations import Conversations, named
from genai_stack.service.responses.overflow import Overflow
from genai_stack.service.responses.records import LEASE_SECONDS
from genai_stack.service.responses.responses import Responses
from genai_stack.service.responses.run import opened
from genai_stack.service.responses.turns import Turns
from tests.service.fakes import CHAT
from tests.service.resources.conftest import stores
from tests.service.resources.mortal import Died, Mortal
from tests.service.resources.queue import HandQueue

AFTER = st.integers(0, 9) | st.just(-1)
ALL = Page(100, order="asc")
LONG = "x" * 100_000


def said(items: list[Any]) -> list[str]:
    return [text_of_parts(item.content) for item in items]


class TalkMachine(RuleBasedStateMachine):
    stores = staticmethod(stores)

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.TemporaryDirectory()
        self.services = self.stores(Path(self.root.name), HandQueue())
        self.now = 1_000_000.0
        self.number = 0
        self.talks: dict[str, list[str]] = {}
        self.seen: dict[str, Response] = {}
        self.given: dict[str, list[Item]] = {}
        self.contexts: dict[str, list[str] | None] = {}
        self.running: dict[str, float] = {}
        self.requests: dict[str, ResponseRequest] = {}
        self.open()

    def open(self) -> None:
        self.records: Any = Mortal(self.services.records)
        once, overflow = Once(self.records), Overflow(self.services.objects)
        turns = Turns(self.records, overflow)
        self.conversations = Conversations(self.records, turns, once)
        self.responses = Responses(
            self.records, overflow, self.conversations, turns, once, clock=lambda: self.now
        )

    def teardown(self) -> None:
        self.read()
        for store in (self.services.objects, self.services.records):
            store.close()  # type: ignore[attr-defined]
        self.root.cleanup()

    def mortal(self, after: int, act: Callable[[], Any]) -> Any:
        """`act`, in a process that dies after so many calls; then whoever asked asks again."""
        self.records.after = after
        try:
            return act()
        except Died:
            self.open()
            return act()
        finally:
            self.records.after = -1

    def text(self, long: bool = False) -> str:
        self.number += 1
        return f"{self.number}{LONG if long else ''}"

    def drawn(self, data: st.DataObject, among: Any) -> str | None:
        return data.draw(st.sampled_from(sorted(among))) if among else None

    def request(self, data: st.DataObject, **more: Any) -> ResponseRequest:
        talk = (
            data.draw(st.sampled_from(sorted(self.talks))) if self.talks and data.draw(st.booleans()) else None
        )
        well = [id for id, response in self.seen.items() if response.status == "completed"]
        previous = None if talk or data.draw(st.booleans()) else self.drawn(data, well)
        text = self.text(data.draw(st.booleans()))
        return ResponseRequest(CHAT, text, conversation=talk, previous_response_id=previous, **more)

    def answered(self, claim: Claim, request: ResponseRequest, given: list[Item], status: Any) -> Response:
        output: list[Item] = [MessageItem(ids.new("msg_"), "assistant", [OutputText(self.text())])]
        return msgspec.structs.replace(opened(claim.id, request), status=status, output=output)

    def made(self, request: ResponseRequest, key: bytes | None, given: list[Item]) -> Response:
        claim, there = self.responses.claim("me", key, str(request))
        if there is not None:
            return there
        return self.responses.keep("me", claim, key, self.answered(claim, request, given, "completed"), given)

    def context_of(self, request: ResponseRequest) -> list[str] | None:
        if request.conversation_id is not None:
            return list(self.talks[request.conversation_id])
        if request.previous_response_id is None:
            return []
        return self.contexts[request.previous_response_id]

    def note(self, request: ResponseRequest, response: Response, given: list[Item]) -> None:
        talk, before = request.conversation_id, None
        if request.previous_response_id is not None:
            before = self.contexts[request.previous_response_id]
        own = [*said(given), *said(response.output)]
        self.contexts[response.id] = (
            None if before is None and request.previous_response_id else [*(before or []), *own]
        )
        self.seen[response.id] = response
        self.given[response.id] = given
        if talk is not None and talk in self.talks:
            self.talks[talk] += own

    @initialize()
    def begin(self) -> None:
        self.converse(-1, 1)
        self.exchange(ResponseRequest(CHAT, self.text(), conversation=next(iter(self.talks))), -1, False)

    @precondition(lambda self: len(self.talks) < 2)
    @rule(after=AFTER, items=st.integers(0, 2))
    def converse(self, after: int, items: int) -> None:
        texts = [self.text() for _ in range(items)]
        request = ConversationRequest([InputItem(role="user", content=text) for text in texts] or None)
        key = self.text().encode()
        made = self.mortal(after, lambda: self.conversations.create("me", request, key))
        assert self.conversations.create("me", request, key).id == made.id
        self.talks[made.id] = texts

    @precondition(lambda self: self.talks)
    @rule(data=st.data(), after=AFTER)
    def say(self, data: st.DataObject, after: int) -> None:
        if (talk := self.drawn(data, self.talks)) is None:
            return
        text, key = self.text(data.draw(st.booleans())), self.text().encode()
        request = ConversationItems([InputItem(role="user", content=text)])
        self.mortal(after, lambda: self.conversations.add("me", talk, request, key))
        self.talks[talk].append(text)

    @precondition(lambda self: self.talks)
    @rule(data=st.data(), after=AFTER)
    def unsay(self, data: st.DataObject, after: int) -> None:
        if not (talk := self.drawn(data, self.talks)) or not self.talks[talk]:
            return
        at = data.draw(st.integers(0, len(self.talks[talk]) - 1))
        item = self.conversations.page("me", talk, ALL, results=True).data[at]
        try:
            self.mortal(after, lambda: self.conversations.remove("me", talk, item.id))
        except NotFound:
            assert after >= 0  # it was done before the process died
        del self.talks[talk][at]

    @rule(data=st.data(), after=AFTER, again=st.booleans())
    def respond(self, data: st.DataObject, after: int, again: bool) -> None:
        """One whose client waits. When the process dies, the client sends it again, or gives up."""
        request = self.request(data)
        if self.context_of(request) is None:
            return
        self.exchange(request, after, again)

    def exchange(self, request: ResponseRequest, after: int, again: bool) -> None:
        given, key = named(request.items), self.text().encode()
        if again:
            response = self.mortal(after, lambda: self.made(request, key, given))
            assert self.made(request, key, given) == response
            self.note(request, response, given)
            return
        self.records.after = after
        try:
            self.note(request, self.made(request, key, given), given)
        except Died:
            self.open()
            _, there = self.responses.claim("me", key, str(request))
            if there is not None:
                self.note(request, there, given)
        finally:
            self.records.after = -1

    @rule(data=st.data(), after=AFTER)
    def queue(self, data: st.DataObject, after: int) -> None:
        request = self.request(data, background=True)
        if self.context_of(request) is None:
            return
        given, key = named(request.items), self.text().encode()

        def act() -> Response:
            claim, there = self.responses.claim("me", key, str(request))
            if there is not None:
                return there
            queued = opened(claim.id, request, "queued")
            return self.responses.queue("me", claim, key, queued, given, streamed=False)[0]

        response = self.mortal(after, act)
        assert response.status == "queued"
        self.seen[response.id], self.given[response.id] = response, given
        self.contexts[response.id] = None
        self.running[response.id] = self.now + LEASE_SECONDS
        self.requests[response.id] = request

    @rule(
        data=st.data(),
        after=AFTER,
        how=st.sampled_from(["begin", "live", "finish", "finish", "fail", "cancel"]),
    )
    def work(self, data: st.DataObject, after: int, how: str) -> None:
        if (id := self.drawn(data, self.running)) is None:
            return
        was, request, given = self.responses.get("me", id), self.requests[id], self.given[id]
        done = self.answered(Claim("", id, 0.0), request, given, "completed")
        acts: dict[str, Callable[[], Any]] = {
            "begin": lambda: self.responses.begin("me", id),
            "live": lambda: self.responses.live("me", id),
            "finish": lambda: self.responses.finish("me", done, given),
            "fail": lambda: self.responses.fail("me", id, ResponseFault("server_error", "It broke.")),
            "cancel": lambda: self.responses.cancel("me", id),
        }
        try:
            self.mortal(after, acts[how])
        except Conflict:
            assert how == "cancel"
        now = self.responses.get("me", id)
        if was.ended:
            assert now == was
        elif how == "live":
            self.running[id] = max(self.running[id], self.now + LEASE_SECONDS)
        elif how != "begin":
            assert now.status == {"finish": "completed", "fail": "failed", "cancel": "cancelled"}[how]
        if now.ended:
            del self.running[id]
            shown = self.responses.shown(now)
            if now.well:
                self.note(request, shown, given)
            self.seen[id] = shown

    @rule(seconds=st.sampled_from([1.0, LEASE_SECONDS / 2, LEASE_SECONDS * 2]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), after=AFTER)
    def delete(self, data: st.DataObject, after: int) -> None:
        if (id := self.drawn(data, self.seen)) is None:
            return
        try:
            self.mortal(after, lambda: self.responses.delete("me", id))
        except NotFound:
            assert after >= 0
        del self.seen[id]
        self.running.pop(id, None)
        later = {id}
        for one, response in self.seen.items():
            if (
                response.previous_response_id in later
                or self.contexts.get(str(response.previous_response_id), 1) is None
            ):
                later.add(one)
        for one in later:
            self.contexts[one] = None

    @precondition(lambda self: self.talks)
    @rule(data=st.data(), after=AFTER)
    def delete_conversation(self, data: st.DataObject, after: int) -> None:
        if (talk := self.drawn(data, self.talks)) is None:
            return
        try:
            self.mortal(after, lambda: self.conversations.delete("me", talk))
        except NotFound:
            assert after >= 0
        del self.talks[talk]

    @rule()
    def crash(self) -> None:
        self.open()

    @rule()
    def read(self) -> None:
        """Not after every step: a reader also settles what it reads."""
        for talk, texts in self.talks.items():
            assert said(self.conversations.page("me", talk, ALL, results=True).data) == texts
            assert not self.conversations.there("you", talk)

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        for id, before in list(self.seen.items()):
            stored = self.responses.get("me", id)
            now = self.responses.shown(stored)
            if before.status in ENDED:
                assert now == before
            elif self.running[id] < self.now:
                assert (now.status, bool(now.error)) == ("failed", True)
                self.seen[id] = now
                del self.running[id]
            else:
                assert now.status in ("queued", "in_progress")
            listed = self.responses.input_items("me", id, ALL, results=True)
            assert listed.data == self.given[id]
            if now.status != "completed":
                continue
            context = self.contexts[id]
            if context is not None:
                assert said(self.responses.history("me", id, None)) == context
                continue
            with pytest.raises(RequestError, match=r"deleted|There is no response"):
                self.responses.history("me", id, None)


TalkMachine.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=20,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestTalk = TalkMachine.TestCase


@pytest.mark.parametrize("again", [True, False])
def test_a_death_at_every_record_of_a_response_in_a_conversation(again: bool) -> None:
    machine = TalkMachine()
    machine.begin()
    (talk,) = machine.talks
    for after in range(14):
        machine.exchange(ResponseRequest(CHAT, machine.text(), conversation=talk), after, again)
        machine.all_is_as_it_should_be()
    assert len(machine.seen) >= 8
    for after, id in enumerate(sorted(machine.seen)):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(machine, "drawn", lambda data, among, id=id: id)
            machine.delete(None, after % 8)
    machine.teardown()


def test_a_death_at_every_record_of_a_background_response() -> None:
    machine = TalkMachine()
    machine.begin()
    (talk,) = machine.talks
    for after in range(14):
        request = ResponseRequest(CHAT, machine.text(), conversation=talk, background=True)
        given = named(request.items)
        claim, _ = machine.responses.claim("me", None, "")
        queued = opened(claim.id, request, "queued")
        machine.responses.queue("me", claim, None, queued, given, streamed=False)
        done = machine.answered(claim, request, given, "completed")
        machine.records.after = after
        try:
            machine.responses.finish("me", done, given)
        except Died:
            machine.open()
        machine.records.after = -1
        before = list(machine.talks[talk])
        listed = said(machine.conversations.page("me", talk, ALL, results=True).data)
        well = machine.responses.get("me", claim.id).well
        assert listed == [*before, *said(given), *said(done.output)] if well else listed == before
        machine.talks[talk] = listed
    machine.teardown()
