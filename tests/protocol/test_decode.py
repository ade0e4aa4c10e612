"""What the decoder lets through: everything the unmodified clients send, and defaults that mean what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_stack.errors import RequestError
from genai_stack.protocol import (
    AssistantMessage,
    ChatRequest,
    CompletionRequest,
    DetokenizeRequest,
    EmbeddingRequest,
    JsonSchema,
    NamedTool,
    TokenizeRequest,
    decode,
    for_template,
    problems,
    text_of,
)

USER = {"role": "user", "content": "Hi"}
FUNCTION = {"name": "weather", "description": "d", "parameters": {"type": "object"}, "strict": True}
TOOL = {"type": "function", "function": FUNCTION}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}


def chat(**fields: Any) -> ChatRequest:
    return decode(ChatRequest, json.dumps({"model": "m", "messages": [USER], **fields}).encode())


HARMLESS: list[dict[str, Any]] = [
    {"user": "u", "metadata": {"a": "b"}, "store": False, "safety_identifier": "s", "prompt_cache_key": "k"},
    {"service_tier": "auto", "modalities": ["text"], "reasoning_effort": "none", "verbosity": "medium"},
    {"tools": [], "tool_choice": "none"},
    {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True},
    {"stop": []},
    {"stop": ["a", "b", "c", "d"]},
    {"max_tokens": 5, "max_completion_tokens": 5},
    {"temperature": 0, "top_p": 1, "top_k": -1, "min_p": 0, "frequency_penalty": -2, "presence_penalty": 2},
    {"seed": -(2**63)},
    {"seed": 2**63 - 1},
    {"logprobs": True, "top_logprobs": 0},
    {"logprobs": False, "top_logprobs": None},
    {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}},
    {"stream": False, "stream_options": None},
    {"response_format": {"type": "text"}},
]


@pytest.mark.parametrize("fields", HARMLESS, ids=str)
def test_harmless_fields_pass(fields: dict[str, Any]) -> None:
    chat(**fields)


@pytest.mark.parametrize("name", [f for f in ChatRequest.__struct_fields__ if f not in ("model", "messages")])
def test_null_is_the_default(name: str) -> None:
    assert chat(**{name: None}) == chat()


LANGCHAIN = {
    "model": "m",
    "messages": [
        {"content": "You are brief.", "role": "system"},
        {"content": "Weather?", "role": "user"},
        {"content": None, "role": "assistant", "tool_calls": [CALL]},
        {"content": "sunny", "role": "tool", "tool_call_id": "call_1"},
    ],
    "stream": True,
    "stream_options": {"include_usage": True},
    "temperature": 0.7,
    "max_completion_tokens": 64,
    "n": 1,
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "weather"}},
    "parallel_tool_calls": False,
    "response_format": {"type": "json_schema", "json_schema": {"name": "A", "schema": {}, "strict": True}},
}
LITELLM = {
    "model": "m",
    "messages": [
        USER,
        {
            "role": "assistant",
            "content": "Hello",
            "tool_calls": [{**CALL, "index": 0}],
            "function_call": None,
            "annotations": [],
            "provider_specific_fields": {"refusal": None},
        },
        {
            "role": "tool",
            "name": "weather",
            "tool_call_id": "call_1",
            "content": [{"type": "text", "text": "sunny"}],
        },
    ],
}
VLLM_ECHO = {
    "model": "m",
    "messages": [
        USER,
        {
            "role": "assistant",
            "content": "Hello",
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            "tool_calls": [],
            "reasoning": None,
            "reasoning_content": None,
        },
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "name": "bot"},
        {"role": "assistant", "content": None, "refusal": "No."},
    ],
}


@pytest.mark.parametrize("body", [LANGCHAIN, LITELLM, VLLM_ECHO], ids=["langchain", "litellm", "vllm echo"])
def test_what_clients_send_passes(body: dict[str, Any]) -> None:
    decode(ChatRequest, json.dumps(body).encode())


def test_a_chat_request_is_read_whole() -> None:
    read = decode(ChatRequest, json.dumps(LANGCHAIN).encode())
    assert (read.limit, read.stops, read.include_usage) == (64, (), True)
    assert isinstance(read.tool_choice, NamedTool)
    assert read.tool_choice.function.name == "weather"
    assert isinstance(read.response_format, JsonSchema)
    assert read.tools is not None
    assert read.tools[0].function.parameters == {"type": "object"}
    assert chat(stop="x").stops == ("x",)
    assert chat(max_tokens=3).limit == 3
    assert chat().limit is None


def test_evaluation_harness_requests_pass() -> None:
    score = {
        "model": "m",
        "prompt": [[1, 2, 3], [4]],
        "temperature": 0,
        "max_tokens": 1,
        "logprobs": 1,
        "seed": 1234,
        "echo": True,
    }
    assert decode(CompletionRequest, json.dumps(score).encode()).prompts == [[1, 2, 3], [4]]
    until = ["\nclass", "\ndef", "\n#", "\nif", "\nprint", "<|endoftext|>"]
    generate = {
        "model": "m",
        "prompt": ["Q:"],
        "max_tokens": 256,
        "temperature": 0,
        "stop": until,
        "seed": 1234,
    }
    assert decode(CompletionRequest, json.dumps(generate).encode()).stops == tuple(until)


@pytest.mark.parametrize(
    ("given_", "read"),
    [("a", ["a"]), (["a", "b"], ["a", "b"]), ([1, 2], [[1, 2]]), ([[1], [2, 3]], [[1], [2, 3]])],
)
def test_text_or_tokens(given_: Any, read: Any) -> None:
    assert decode(EmbeddingRequest, json.dumps({"model": "m", "input": given_}).encode()).inputs == read
    body = json.dumps({"model": "m", "prompt": given_}).encode()
    assert decode(CompletionRequest, body).prompts == read
    assert decode(CompletionRequest, body).limit == 16


def test_tokenize_takes_a_prompt_or_messages() -> None:
    assert decode(TokenizeRequest, b'{"model": "m", "prompt": ""}').prompt == ""
    body = {"model": "m", "messages": [USER], "add_generation_prompt": False, "tools": [TOOL]}
    assert decode(TokenizeRequest, json.dumps(body).encode()).messages is not None
    assert decode(DetokenizeRequest, b'{"model": "m", "tokens": []}').tokens == []


def test_for_template() -> None:
    plain = [for_template(message) for message in decode(ChatRequest, json.dumps(LITELLM).encode()).messages]
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
    }
    assert plain == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "tool_calls": [call]},
        {"role": "tool", "content": "sunny", "tool_call_id": "call_1", "name": "weather"},
    ]
    developer = chat(messages=[{"role": "developer", "content": [{"type": "text", "text": t} for t in "ab"]}])
    assert for_template(developer.messages[0]) == {"role": "system", "content": "a\nb"}
    assert for_template(AssistantMessage(refusal="No.")) == {"role": "assistant", "content": "No."}
    assert text_of(None) == ""


def test_requests_are_frozen() -> None:
    with pytest.raises(AttributeError):
        chat().model = "other"  # type: ignore[misc]


def test_a_message_quotes_no_more_than_it_must() -> None:
    for body in (
        b'{"' + b"k" * 100_000 + b'": 1}',
        b'{"model": "m", "tool_choice": "' + b"v" * 100_000 + b'"}',
        b'{"model": "m", "messages": [{"role": "' + b"v" * 100_000 + b'"}]}',
    ):
        with pytest.raises(RequestError) as caught:
            decode(ChatRequest, body)
        assert len(problems.body(caught.value)) < 1500


@given(st.text(max_size=30))
def test_any_text_comes_through_as_it_is(text: str) -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})
    if any("\ud800" <= char <= "\udfff" for char in text):
        with pytest.raises(RequestError):
            decode(ChatRequest, body.encode())
    else:
        assert text_of(decode(ChatRequest, body.encode()).messages[0].content) == text


def refused(kind: Any, body: bytes) -> RequestError | None:
    try:
        decode(kind, body)
    except RequestError as error:
        return error
    return None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_request_error(body: bytes) -> None:
    for kind in (ChatRequest, CompletionRequest, EmbeddingRequest, TokenizeRequest, DetokenizeRequest):
        if (error := refused(kind, body)) is not None:
            assert error.status == 400
            assert json.loads(problems.body(error))["error"]["message"]


@given(st.text())
def test_any_error_can_be_told(text: str) -> None:
    error = RequestError(text, param=text[:5] or None)
    assert json.loads(problems.body(error))["error"].keys() == {"message", "type", "param", "code"}
