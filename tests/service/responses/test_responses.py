"""/v1/responses, driven by the openai client with strict validation."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import openai
import pytest
from pydantic import BaseModel

from genai_stack.service.responses.responses import Responses
from tests.service.conftest import MASTER, assert_problem
from tests.service.fakes import CHAT, EMBED
from tests.service.resources.conftest import Stack
from tests.service.responses.talking import TalkHost, calling, chat, chunk, used

TOOL: Any = {
    "type": "function",
    "name": "weather",
    "description": "How it is outside",
    "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    "strict": True,
}


class Town(BaseModel):
    town: str


def test_a_text_in_and_a_text_out(client: openai.OpenAI, host: TalkHost) -> None:
    made = client.responses.create(
        model=CHAT,
        input="Hi",
        instructions="Be brief.",
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=50,
        metadata={"for": "me"},
        user="u",
        truncation="disabled",
        service_tier="auto",
    )
    assert (made.status, made.output_text) == ("completed", "Hello there")
    assert made.id.startswith("resp_")
    assert made.output[0].id is not None
    assert made.output[0].id.startswith("msg_")
    assert made.usage is not None
    told = made.usage
    assert (told.input_tokens, told.output_tokens, told.total_tokens) == (7, 2, 9)
    assert told.input_tokens_details.cached_tokens == 3
    assert (made.metadata, made.temperature, made.top_p, made.max_output_tokens) == (
        {"for": "me"},
        0.5,
        0.9,
        50,
    )
    assert made.instructions == "Be brief."
    (asked,) = host.chats
    assert asked["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    assert (asked["temperature"], asked["top_p"], asked["max_completion_tokens"]) == (0.5, 0.9, 50)
    again = client.responses.retrieve(made.id)
    assert again == made
    assert client.responses.with_raw_response.retrieve(made.id).parse() == made
    (item,) = client.responses.input_items.list(made.id)
    assert item.type == "message"
    client.responses.delete(made.id)
    for call in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            call(made.id)


def test_async_too(stack: Stack, host: TalkHost) -> None:
    async def talk() -> None:
        options: Any = {"max_retries": 0, "_strict_response_validation": True}
        async with openai.AsyncOpenAI(base_url=stack.api.base_url, api_key=MASTER, **options) as client:
            made = await client.responses.create(model=CHAT, input="Hi")
            assert made.output_text == "Hello there"
            stream = await client.responses.create(model=CHAT, input="Hi", stream=True)
            assert [event.type async for event in stream][-1] == "response.completed"
            async with client.responses.stream(model=CHAT, input="Hi") as events:
                assert (await events.get_final_response()).output_text == "Hello there"
            listed = [item async for item in client.responses.input_items.list(made.id)]
            assert len(listed) == 1
            talk = await client.conversations.create(items=[{"role": "user", "content": "A"}])
            assert [item.type async for item in client.conversations.items.list(talk.id)] == ["message"]

    asyncio.run(talk())


def test_a_stream_tells_all_of_it(client: openai.OpenAI, host: TalkHost) -> None:
    events = list(client.responses.create(model=CHAT, input="Hi", stream=True))
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last: Any = events[-1]
    assert last.response == client.responses.retrieve(last.response.id)
    with client.responses.with_streaming_response.create(model=CHAT, input="Hi", stream=True) as raw:
        assert raw.headers["content-type"].startswith("text/event-stream")
        assert [event.type for event in raw.parse()][-1] == "response.completed"


def test_a_silent_model_gets_comments_and_late_errors_an_event(stack: Stack, host: TalkHost) -> None:
    host.delay = 0.5
    answer = stack.api.post("/v1/responses", {"model": CHAT, "input": "Hi", "stream": True})
    assert answer.body.startswith(b": keep-alive\n\n")
    assert b"event: response.completed" in answer.body
    host.status, host.says = 500, lambda asked: []
    answer = stack.api.post("/v1/responses", {"model": CHAT, "input": "Hi", "stream": True})
    assert answer.status == 200
    assert answer.body.partition(b"event: ")[2].startswith(b"error\n")
    host.delay = 0
    assert_problem(stack.api.post("/v1/responses", {"model": CHAT, "input": "Hi", "stream": True}), 500)


def test_a_stream_that_breaks_has_failed_and_is_not_kept(client: openai.OpenAI, host: TalkHost) -> None:
    host.says = lambda asked: [*chat("One two")[:2], {"error": {"message": "The engine died."}}]
    events: Any = list(client.responses.create(model=CHAT, input="Hi", stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code == "server_error"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(events[-1].response.id)
    with pytest.raises(openai.InternalServerError):
        client.responses.create(model=CHAT, input="Hi")


def test_functions_are_called_and_answered(client: openai.OpenAI, host: TalkHost) -> None:
    host.says = lambda asked: calling(("weather", '{"town": "Bonn"}'), ("weather", '{"town": "Rome"}'))
    question: Any = [{"role": "user", "content": "How is it in Bonn and Rome?"}]
    made = client.responses.create(
        model=CHAT, input=question, tools=[TOOL], tool_choice="required", parallel_tool_calls=True
    )
    calls = [item for item in made.output if item.type == "function_call"]
    assert [(call.name, call.arguments) for call in calls] == [
        ("weather", '{"town": "Bonn"}'),
        ("weather", '{"town": "Rome"}'),
    ]
    assert [call.id[:3] for call in calls if call.id] == ["fc_", "fc_"]
    asked = host.chats[-1]
    assert asked["tool_choice"] == "required"
    assert asked["tools"] == [
        {"type": "function", "function": {k: TOOL[k] for k in ("name", "description", "parameters", "strict")}}
    ]
    host.says = lambda asked: "Both are fine."
    outputs: Any = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "fine"} for call in calls
    ]
    last = client.responses.create(
        model=CHAT, input=outputs, previous_response_id=made.id, tools=[TOOL], tool_choice="none"
    )
    sent = host.chats[-1]["messages"]
    assert [m["role"] for m in sent] == ["user", "assistant", "tool", "tool"]
    assert [c["id"] for c in sent[1]["tool_calls"]] == [m["tool_call_id"] for m in sent[2:]]
    assert last.output_text == "Both are fine."
    echoed: Any = [*question, *made.output, *outputs]
    client.responses.create(model=CHAT, input=echoed, tools=[TOOL])
    assert host.chats[-1]["messages"] == sent
    kinds = [item.type for item in client.responses.input_items.list(last.id, order="asc")]
    assert kinds == ["function_call_output", "function_call_output"]
    named: Any = {"type": "function", "name": "weather"}
    client.responses.create(model=CHAT, input="Hi", tools=[TOOL], tool_choice=named, parallel_tool_calls=False)
    assert host.chats[-1]["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert host.chats[-1]["parallel_tool_calls"] is False


def test_calls_are_streamed_and_parsed(client: openai.OpenAI, host: TalkHost) -> None:
    host.says = lambda asked: [*chat("Let me see. ")[:4], *calling(("Town", '{"town": "Bonn"}'))]
    tool = openai.pydantic_function_tool(Town)
    flat: Any = {"type": "function", **tool["function"]}
    with client.responses.stream(model=CHAT, input="Hi", tools=[flat]) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds.count("response.output_item.added") == 2
    assert "response.function_call_arguments.delta" in kinds
    assert "response.function_call_arguments.done" in kinds
    assert [item.type for item in final.output] == ["message", "function_call"]
    parsed: Any = final.output[1]
    assert parsed.parsed_arguments == {"town": "Bonn"}


def test_structured_output(client: openai.OpenAI, host: TalkHost) -> None:
    host.says = lambda asked: '{"town": "Bonn"}'
    parsed = client.responses.parse(model=CHAT, input="Where?", text_format=Town)
    assert parsed.output_parsed == Town(town="Bonn")
    form = host.chats[-1]["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["schema"]["properties"]["town"]["type"] == "string"
    with client.responses.stream(model=CHAT, input="Where?", text_format=Town) as stream:
        stream.until_done()
        assert stream.get_final_response().output_parsed == Town(town="Bonn")
    client.responses.create(model=CHAT, input="Where?", text={"format": {"type": "json_object"}})
    assert host.chats[-1]["response_format"] == {"type": "json_object"}
    client.responses.create(
        model=CHAT, input="Where?", text={"format": {"type": "text"}, "verbosity": "medium"}
    )
    assert "response_format" not in host.chats[-1]
    echoed: Any = [*parsed.output, {"role": "user", "content": "Sure?"}]
    client.responses.create(model=CHAT, input=echoed)


def test_logprobs(client: openai.OpenAI, host: TalkHost) -> None:
    score = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105]}
    scored = {"content": [{**score, "top_logprobs": [score]}]}
    host.says = lambda asked: [chunk({"content": "Hi"}, logprobs=scored), chunk({}, "stop"), used()]
    made = client.responses.create(
        model=CHAT, input="Hi", include=["message.output_text.logprobs"], top_logprobs=1
    )
    assert (host.chats[-1]["logprobs"], host.chats[-1]["top_logprobs"]) == (True, 1)
    part: Any = made.output[0].content[0]  # type: ignore[union-attr]
    assert part.logprobs[0].top_logprobs[0].logprob == -0.5
    events: Any = list(client.responses.create(model=CHAT, input="Hi", top_logprobs=1, stream=True))
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert deltas[0].logprobs[0].token == "Hi"


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_an_answer_that_was_cut_is_incomplete(client: openai.OpenAI, host: TalkHost, reason: str) -> None:
    host.says = lambda asked: chat("One two", reason)
    made = client.responses.create(model=CHAT, input="Hi", max_output_tokens=2)
    assert made.status == "incomplete"
    assert made.incomplete_details is not None
    assert made.incomplete_details.reason == {"length": "max_output_tokens"}.get(reason, reason)
    assert made.output[0].status == "incomplete"  # type: ignore[union-attr]
    events = list(client.responses.create(model=CHAT, input="Hi", stream=True))
    assert events[-1].type == "response.incomplete"


def test_a_chain_of_responses(client: openai.OpenAI, host: TalkHost) -> None:
    first = client.responses.create(model=CHAT, input="One", instructions="Only once.")
    second = client.responses.create(model=CHAT, input="Two", previous_response_id=first.id)
    third = client.responses.create(model=CHAT, input="Three", previous_response_id=second.id)
    assert third.previous_response_id == second.id
    said = [(m["role"], m["content"]) for m in host.chats[-1]["messages"]]
    assert said == [
        ("user", "One"),
        ("assistant", "Hello there"),
        ("user", "Two"),
        ("assistant", "Hello there"),
        ("user", "Three"),
    ]
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(model=CHAT, input="Four", previous_response_id=third.id)
    assert caught.value.param == "previous_response_id"
    unkept = client.responses.create(model=CHAT, input="Hi", store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(unkept.id)


def test_a_long_one_lies_beside_its_record(client: openai.OpenAI, host: TalkHost, stack: Stack) -> None:
    long = "word " * 60_000
    made = client.responses.create(model=CHAT, input=long)
    (item,) = client.responses.input_items.list(made.id)
    assert item.content[0].text == long  # type: ignore[union-attr]
    again = client.responses.create(model=CHAT, input="And?", previous_response_id=made.id)
    assert host.chats[-1]["messages"][0]["content"] == long
    objects: Any = stack.services.objects
    (blob,) = objects.list(f"responses/{made.id}/")
    assert blob.bytes > len(long)
    client.responses.delete(again.id)
    client.responses.delete(made.id)
    assert objects.list(f"responses/{made.id}/") == []


def test_the_oldest_goes_where_the_window_is_full(client: openai.OpenAI, host: TalkHost) -> None:
    items: Any = [
        {"role": "system", "content": "Stay."},
        *({"role": "user", "content": f"{n} {'word ' * 20}"} for n in range(20)),
    ]
    host.window = 200
    client.responses.create(model=CHAT, input=items, truncation="auto", max_output_tokens=20)
    sent = [m["content"].split()[0] for m in host.chats[-1]["messages"]]
    assert sent[0] == "Stay."
    assert sent[-1] == "19"
    assert sent[1:] == [str(n) for n in range(20 - len(sent) + 1, 20)]
    assert 2 < len(sent) < 12
    client.responses.create(model=CHAT, input=items, truncation="disabled")
    assert len(host.chats[-1]["messages"]) == 21


def test_the_same_create_again_has_one_effect(client: openai.OpenAI, host: TalkHost, stack: Stack) -> None:
    headers = {"Idempotency-Key": "once"}
    first = client.responses.create(model=CHAT, input="Hi", extra_headers=headers)
    assert client.responses.create(model=CHAT, input="Hi", extra_headers=headers) == first
    assert len(host.chats) == 1
    with pytest.raises(openai.ConflictError):
        client.responses.create(model=CHAT, input="Ho", extra_headers=headers)
    body = {"model": CHAT, "input": "Hi", "store": False}
    assert_problem(stack.api.post("/v1/responses", body, {"idempotency-key": "x"}), 400, param="store")
    streamed = {"Idempotency-Key": "stream"}
    for _ in range(2):
        events: Any = list(client.responses.create(model=CHAT, input="Hi", stream=True, extra_headers=streamed))
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert events[-1].response.output_text == "Hello there"
    assert len(host.chats) == 2


def test_a_stream_ends_with_what_is_kept(
    client: openai.OpenAI, host: TalkHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another process of the API was there first with the same Idempotency-Key."""
    keep = Responses.keep

    def beaten(self: Any, tenant: str, claim: Any, key: Any, response: Any, given: Any) -> Any:
        theirs = msgspec.structs.replace(response, metadata={"made": "elsewhere"})
        keep(self, tenant, claim, key, theirs, given)
        return keep(self, tenant, claim, key, response, given)

    monkeypatch.setattr(Responses, "keep", beaten)
    with client.responses.create(
        model=CHAT, input="Hi", stream=True, extra_headers={"Idempotency-Key": "k-beaten"}
    ) as stream:
        *_, last = stream
    assert last.type == "response.completed"
    assert last.response.metadata == {"made": "elsewhere"}
    assert client.responses.retrieve(last.response.id).metadata == last.response.metadata


def test_another_tenant_sees_nothing(client: openai.OpenAI, stack: Stack, host: TalkHost) -> None:
    made = client.responses.create(model=CHAT, input="Hi")
    unknown = "resp_" + "0" * 24
    for method, path in (
        ("GET", "/v1/responses/{}"),
        ("DELETE", "/v1/responses/{}"),
        ("POST", "/v1/responses/{}/cancel"),
        ("GET", "/v1/responses/{}/input_items"),
    ):
        foreign = stack.api.call(method, path.format(made.id), key=stack.other)
        none = stack.api.call(method, path.format(unknown), key=stack.other)
        assert foreign.status == none.status == 404
        assert foreign.body.replace(made.id.encode(), b"") == none.body.replace(unknown.encode(), b"")
    body = {"model": CHAT, "input": "Hi", "previous_response_id": made.id}
    assert_problem(
        stack.api.call("POST", "/v1/responses", body, key=stack.other), 404, param="previous_response_id"
    )


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": "Hi", "frobnicate": 1}, "frobnicate"),
        ({"input": "Hi", "temperature": 3}, "temperature"),
        ({"input": "Hi", "max_tool_calls": 1}, "max_tool_calls"),
        ({"input": "Hi", "prompt": {"id": "x"}}, "prompt"),
        ({"input": "Hi", "moderation": {"model": "x"}}, "moderation"),
        ({"input": "Hi", "reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"input": "Hi", "service_tier": "flex"}, "service_tier"),
        ({"input": "Hi", "include": ["reasoning.encrypted_content"]}, "include[0]"),
        ({"input": "Hi", "stream_options": {"include_obfuscation": False}}, "stream_options"),
        (
            {"input": "Hi", "stream": True, "stream_options": {"include_obfuscation": True}},
            "stream_options.include_obfuscation",
        ),
        ({"input": "Hi", "text": {"verbosity": "low"}}, "text.verbosity"),
        ({"input": "Hi", "background": True, "store": False}, "background"),
        ({"input": "Hi", "previous_response_id": "a", "conversation": "b"}, "previous_response_id"),
        ({"input": "Hi", "tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"input": "Hi", "tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0].type"),
        ({"input": "Hi", "tools": [TOOL, TOOL]}, "tools[0].name"),
        ({"input": "Hi", "tools": [{**TOOL, "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"input": "Hi", "tool_choice": "required"}, "tool_choice"),
        ({"input": "Hi", "tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
        ({"input": "Hi", "tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0].type"),
        ({"input": [{"type": "item_reference"}]}, "input[0].id"),
        ({"input": [{"type": "item_reference", "id": "msg_1", "role": "user"}]}, "input[0].role"),
        ({"input": [{"type": "item_reference", "id": "msg_1", "status": "completed"}]}, "input[0].status"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": "x", "output": "y"}]}, "input[0].output"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        (
            {"input": [{"role": "user", "content": [{"type": "output_text", "text": "x"}]}]},
            "input[0].content[0].type",
        ),
        ({"input": "Hi", "conversation": "conv_nope"}, "conversation"),
        ({"input": "Hi", "previous_response_id": "resp_nope"}, "previous_response_id"),
        ({"input": "Hi", "model": "nope"}, "model"),
        ({"input": "Hi", "model": EMBED}, "model"),
    ],
)
def test_what_is_not_honoured_is_refused_by_name(
    stack: Stack, host: TalkHost, body: dict[str, Any], param: str
) -> None:
    assert_problem(stack.api.post("/v1/responses", {"model": CHAT, **body}), param=param)
    assert not host.chats


def test_a_models_refusal_names_what_was_sent(stack: Stack, host: TalkHost) -> None:
    host.status = 400
    for theirs, ours in (
        ("messages", "input"),
        ("max_completion_tokens", "max_output_tokens"),
        ("response_format.json_schema.schema.type", "text.format.schema.type"),
        ("tools[0].function.parameters.type", "tools[0].parameters.type"),
    ):
        error = {"message": f"'{theirs}' is bad.", "type": "invalid_request_error", "param": theirs}
        host.says = lambda asked, error=error: json.dumps({"error": error}).encode()  # type: ignore[misc]
        told = assert_problem(stack.api.post("/v1/responses", {"model": CHAT, "input": "Hi"}), 400, param=ours)
        assert told["message"] == f"'{ours}' is bad."


def test_the_model_stops_when_the_client_leaves(client: openai.OpenAI, host: TalkHost) -> None:
    host.hanging = True
    stream = client.responses.create(model=CHAT, input="Hi", stream=True)
    first: Any = next(iter(stream))
    stream.close()
    assert host.left.wait(60)
    host.hanging = False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.response.id)
