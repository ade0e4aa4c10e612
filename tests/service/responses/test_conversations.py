"""/v1/conversations, driven by the openai client with strict validation."""

from __future__ import annotations

from typing import Any, cast

import openai
import pytest

from genai_stack.protocol.items import InputText, MessageItem
from genai_stack.service.responses.overflow import Overflow
from genai_stack.service.responses.turns import Turns
from tests.service.conftest import assert_problem
from tests.service.fakes import CHAT, MemoryRecords
from tests.service.resources.conftest import Stack
from tests.service.responses.talking import TalkHost, calling, chat


def texts(client: openai.OpenAI, id: str) -> list[str]:
    return [item.content[0].text for item in client.conversations.items.list(id, order="asc")]  # type: ignore[union-attr]


def test_a_conversation_and_its_items(client: openai.OpenAI) -> None:
    made = client.conversations.create(
        metadata={"about": "a"},
        items=[{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"}],
    )
    assert made.id.startswith("conv_")
    assert client.conversations.retrieve(made.id) == made
    changed = client.conversations.update(made.id, metadata={"about": "b"})
    assert (changed.metadata, changed.created_at) == ({"about": "b"}, made.created_at)
    more: Any = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Three"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
    ]
    added = client.conversations.items.create(made.id, items=more)
    assert [item.type for item in added.data] == ["message", "function_call", "function_call_output"]
    everything = list(client.conversations.items.list(made.id, order="asc"))
    assert len(everything) == 5
    assert [item.id for item in client.conversations.items.list(made.id, limit=2)] == [
        item.id for item in reversed(everything)
    ]
    third = everything[2]
    assert client.conversations.items.retrieve(str(third.id), conversation_id=made.id) == third
    assert client.conversations.items.delete(str(third.id), conversation_id=made.id).id == made.id
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.retrieve(str(third.id), conversation_id=made.id)
    page = client.conversations.items.list(made.id, order="asc", after=str(third.id), limit=1)
    assert page.data == everything[3:4]
    assert client.conversations.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.list(made.id)
    empty = client.conversations.create()
    assert client.conversations.items.list(empty.id).data == []
    assert empty.metadata == {}


def test_responses_append_to_it(client: openai.OpenAI, host: TalkHost) -> None:
    made = client.conversations.create(items=[{"role": "system", "content": "Be kind."}])
    first = client.responses.create(model=CHAT, input="Hi", conversation=made.id)
    assert first.conversation is not None
    assert first.conversation.id == made.id
    assert texts(client, made.id) == ["Be kind.", "Hi", "Hello there"]
    list(client.responses.create(model=CHAT, input="More", conversation={"id": made.id}, stream=True))
    assert [m["content"] for m in host.chats[-1]["messages"]] == ["Be kind.", "Hi", "Hello there", "More"]
    client.responses.create(model=CHAT, input="Unkept", conversation=made.id, store=False)
    client.responses.delete(first.id)
    assert texts(client, made.id)[1:] == ["Hi", "Hello there", "More", "Hello there", "Unkept", "Hello there"]
    host.says = lambda asked: calling(("f", "{}"))
    function: Any = {"type": "function", "name": "f", "parameters": {}, "strict": False}
    called: Any = client.responses.create(model=CHAT, input="Call", conversation=made.id, tools=[function])
    host.says = lambda asked: "Done."
    output: Any = [{"type": "function_call_output", "call_id": called.output[0].call_id, "output": "x"}]
    client.responses.create(model=CHAT, input=output, conversation=made.id, tools=[function])
    assert [m["role"] for m in host.chats[-1]["messages"]][-3:] == ["user", "assistant", "tool"]


def test_what_failed_is_not_in_it(client: openai.OpenAI, host: TalkHost) -> None:
    made = client.conversations.create()
    host.says = lambda asked: [*chat("One two")[:2], {"error": {"message": "The engine died."}}]
    with pytest.raises(openai.InternalServerError):
        client.responses.create(model=CHAT, input="Hi", conversation=made.id)
    list(client.responses.create(model=CHAT, input="Hi", conversation=made.id, stream=True))
    host.says = lambda asked: "Good."
    assert client.conversations.items.list(made.id).data == []
    headers = {"Idempotency-Key": "talk"}
    for _ in range(2):
        client.responses.create(model=CHAT, input="Hi", conversation=made.id, extra_headers=headers)
    assert texts(client, made.id) == ["Hi", "Good."]


def test_the_same_create_again(client: openai.OpenAI) -> None:
    headers = {"Idempotency-Key": "conversation"}
    item: Any = {"role": "user", "content": "One"}
    made = [client.conversations.create(items=[item], extra_headers=headers) for _ in range(2)]
    assert made[0] == made[1]
    headers = {"Idempotency-Key": "item"}
    added = [
        client.conversations.items.create(made[0].id, items=[item], extra_headers=headers) for _ in range(2)
    ]
    assert added[0] == added[1]
    assert texts(client, made[0].id) == ["One", "One"]


def test_another_tenant_sees_nothing(client: openai.OpenAI, stack: Stack, host: TalkHost) -> None:
    made = client.conversations.create(items=[{"role": "user", "content": "One"}])
    (item,) = client.conversations.items.list(made.id)
    unknown = "conv_" + "0" * 24
    for method, path, body in (
        ("GET", "/v1/conversations/{}", None),
        ("POST", "/v1/conversations/{}", {"metadata": None}),
        ("DELETE", "/v1/conversations/{}", None),
        ("GET", "/v1/conversations/{}/items", None),
        ("POST", "/v1/conversations/{}/items", {"items": [{"role": "user", "content": "x"}]}),
        ("GET", f"/v1/conversations/{{}}/items/{item.id}", None),
        ("DELETE", f"/v1/conversations/{{}}/items/{item.id}", None),
        ("POST", "/v1/responses", {"model": CHAT, "input": "Hi", "conversation": "{}"}),
    ):
        answers = []
        for id in (made.id, unknown):
            sent = {**body, "conversation": id} if body and "conversation" in body else body
            answers.append(stack.api.call(method, path.format(id), sent, key=stack.other))
        assert answers[0].status == answers[1].status == 404, path
        assert answers[0].body.replace(made.id.encode(), unknown.encode()) == answers[1].body
    assert not host.chats


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"items": []}, "items"),
        ({"items": [{"role": "user"}]}, "items[0].content"),
        ({"items": [{"type": "web_search_call"}]}, "items[0].type"),
        ({"items": [{"role": "user", "content": "x"}] * 21}, "items"),
        ({}, "items"),
    ],
)
def test_items_that_are_none(stack: Stack, client: openai.OpenAI, body: Any, param: str) -> None:
    made = client.conversations.create()
    assert_problem(stack.api.post(f"/v1/conversations/{made.id}/items", body), 400, param=param)
    assert_problem(stack.api.post(f"/v1/conversations/{made.id}", {}), 400, param="metadata")
    assert_problem(stack.api.get(f"/v1/conversations/{made.id}/items?after=x"), 400, param="after")
    assert_problem(stack.api.get(f"/v1/conversations/{made.id}/items?include=x"), 400, param="include")


def test_reading_what_is_settled_asks_the_store_no_more() -> None:
    records, nothing = MemoryRecords(), cast(Any, None)
    turns = Turns(records, Overflow(nothing))
    turns.counts = lambda tenant, response: True
    for number in range(9):
        items: Any = [MessageItem(f"msg_{number}", "user", [InputText("Hi")])]
        turns.add("me", "conv", f"{number}", items, "resp" if number == 8 else None)
    for reads in (2, 0):
        before = records.reads
        assert [place.id for place in turns.places("me", "conv")] == [f"msg_{n}" for n in range(9)]
        assert records.reads == before + reads, "to settle the one that waited, once"
