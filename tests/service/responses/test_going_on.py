"""What a response goes on from: the same create at once, items that are referred to, and how much it may be."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from genai_stack.service.principal import Limits
from genai_stack.service.responses import overflow
from genai_stack.service.responses.responses import Responses
from tests.service.fakes import CHAT
from tests.service.resources.conftest import Stack
from tests.service.responses.talking import TalkHost


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_create_twenty_times_at_once_asks_the_model_once(
    client: openai.OpenAI, host: TalkHost, stream: bool
) -> None:
    host.hanging = True
    headers = {"Idempotency-Key": f"twenty-{stream}"}

    def create(_: int) -> str:
        made: Any = client.responses.create(model=CHAT, input="Hi", stream=stream, extra_headers=headers)
        if stream:
            made = list(made)[-1].response
        assert made.output_text == "Hello there"
        return str(made.id)

    with ThreadPoolExecutor(20) as pool:
        made = [pool.submit(create, n) for n in range(20)]
        deadline = time.monotonic() + 20
        while not host.running:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        host.hanging = False
        assert len({one.result() for one in made}) == 1
    assert len(host.chats) == 1


def test_items_are_referred_to(client: openai.OpenAI, host: TalkHost, stack: Stack) -> None:
    first = client.responses.create(model=CHAT, input=[{"role": "user", "content": "I am Ada."}])
    asked = client.responses.input_items.list(first.id).data[0]
    reference: Any = {"type": "item_reference", "id": asked.id}
    bare: Any = {"id": first.output[0].id}
    last: Any = {"role": "user", "content": "Who am I?"}
    second = client.responses.create(model=CHAT, input=[reference, bare, last])
    assert [message["content"] for message in host.chats[-1]["messages"]] == [
        "I am Ada.", "Hello there", "Who am I?",
    ]  # fmt: skip
    kept = client.responses.input_items.list(second.id, order="asc").data
    assert [item.type for item in kept] == ["message"] * 3
    ids = {item.id for item in (*kept, *second.output)}
    assert len(ids) == 4
    assert not ids & {asked.id, first.output[0].id}
    again: Any = [{"type": "item_reference", "id": kept[0].id}]
    client.responses.create(model=CHAT, input=again)
    talk = client.conversations.create(items=[{"role": "user", "content": "We talk."}])
    said = client.conversations.items.list(talk.id).data[0]
    there: Any = [{"type": "item_reference", "id": said.id}]
    client.responses.create(model=CHAT, input=there, conversation=talk.id)
    assert [message["content"] for message in host.chats[-1]["messages"]] == ["We talk."] * 2
    client.responses.delete(first.id)
    unkept = client.responses.create(model=CHAT, input="Hi", store=False)
    for id in (asked.id, unkept.output[0].id, said.id, "msg_x", "../msg", f"msg_{'0' * 24}00000"):
        with pytest.raises(openai.NotFoundError) as caught:
            client.responses.create(model=CHAT, input=["", {"type": "item_reference", "id": id}][1:])
        assert caught.value.param == "input[0].id"
    with stack.client(stack.other) as theirs, pytest.raises(openai.NotFoundError):
        theirs.responses.create(model=CHAT, input=again)
    with pytest.raises(openai.BadRequestError) as refused:
        client.conversations.items.create(talk.id, items=again)
    assert refused.value.param == "items[0].type"


def test_what_is_gone_on_from_is_bounded(
    client: openai.OpenAI, host: TalkHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overflow, "GOES_ON", 8000)
    talk, before, sent = client.conversations.create().id, None, "word " * 500
    for number in range(3):
        before = client.responses.create(model=CHAT, input=sent, previous_response_id=before).id
        client.conversations.items.create(talk, items=[{"role": "user", "content": f"{number} {sent}"}])
    told: tuple[tuple[dict[str, Any], str], ...] = (
        ({"previous_response_id": before}, "previous_response_id"), ({"conversation": talk}, "conversation"),
    )  # fmt: skip
    for goes_on, param in told:
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model=CHAT, input="And?", **goes_on)
        assert (caught.value.param, caught.value.code) == (param, "history_too_large")
    pages = client.conversations.items.list(talk, limit=2)
    assert [item.content[0].text[:1] for item in pages if item.type == "message"] == ["2", "1", "0"]


def test_what_is_referred_to_is_bounded_however_often(
    client: openai.OpenAI, host: TalkHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reference is shorter than what it stands for."""
    said: Any = [{"role": "user", "content": "word " * 100}]
    first = client.responses.create(model=CHAT, input=said)
    talk = client.conversations.create(items=said)
    items = client.responses.input_items.list(first.id).data, client.conversations.items.list(talk.id).data
    monkeypatch.setattr(overflow, "GOES_ON", 8000)
    for (item,), more in zip(items, ({}, {"conversation": talk.id}), strict=True):
        references: Any = [{"type": "item_reference", "id": item.id}] * 20
        client.responses.create(model=CHAT, input=references[:5], store=False, **more)
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model=CHAT, input=references, store=False, **more)
        assert (caught.value.param, caught.value.code) == ("input", "history_too_large")


def test_what_is_gone_on_from_is_read_for_those_alone_who_may_ask(
    stack: Stack, host: TalkHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"one": Limits(requests_per_minute=1), "few": Limits(tokens_per_minute=2000)}
    keys = {
        name: stack.api.keys.create(name, tenant="goes-on", limits=each)[1] for name, each in limits.items()
    }
    reads: list[str | None] = []
    history = Responses.history

    def counted(self: Any, tenant: str, previous: str | None, conversation: str | None) -> Any:
        reads.append(conversation)
        return history(self, tenant, previous, conversation)

    monkeypatch.setattr(Responses, "history", counted)
    with stack.client(keys["one"]) as mine:
        talk = mine.conversations.create(items=[{"role": "user", "content": "word " * 2000}]).id
        answered, refused = 0, []
        for _ in range(4):
            try:
                mine.responses.create(model=CHAT, input="Hi", conversation=talk)
                answered += 1
            except openai.RateLimitError as error:
                refused.append(error.code)
    assert answered in (1, 2)
    assert set(refused) == {"rate_limit_exceeded"}
    assert reads == [talk] * answered
    asked = len(host.chats)
    with stack.client(keys["few"]) as mine, pytest.raises(openai.RateLimitError) as caught:
        mine.responses.create(model=CHAT, input="Hi", conversation=talk)
    assert caught.value.code == "request_exceeds_limit"
    assert len(host.chats) == asked


def test_what_is_referred_to_is_read_for_those_alone_who_may_ask(
    stack: Stack, host: TalkHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, key = stack.api.keys.create("refers", tenant="refers", limits=Limits(requests_per_minute=1))
    reads: list[str] = []
    given = Responses.given

    def counted(self: Any, tenant: str, id: str, *what: Any) -> Any:
        reads.append(id)
        return given(self, tenant, id, *what)

    monkeypatch.setattr(Responses, "given", counted)
    with stack.client(key) as mine:
        talk = mine.conversations.create(items=[{"role": "user", "content": "Hi"}]).id
        (said,) = mine.conversations.items.list(talk).data
        reference: Any = [{"type": "item_reference", "id": said.id}]
        answered, refused = 0, 0
        for _ in range(4):
            try:
                mine.responses.create(model=CHAT, input=reference, conversation=talk)
                answered += 1
            except openai.RateLimitError:
                refused += 1
    assert refused >= 2
    assert len(reads) == answered
