"""The unmodified openai client against the API."""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pytest

from genai_stack.errors import EngineFailed, Overloaded
from tests.service.conftest import MASTER, Api
from tests.service.fakes import ANSWERS, CHAT, EMBED, TUNED, chat_events, sse


@pytest.fixture
def client(api: Api) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=api.base_url, api_key=MASTER, max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, **more: object) -> object:
    return client.chat.completions.create(model=CHAT, messages=[{"role": "user", "content": "Hi"}], **more)  # type: ignore[call-overload]


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=CHAT,
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        ],
        temperature=0,
        max_completion_tokens=5,
        stop=["x"],
        seed=1,
        logprobs=True,
        top_logprobs=2,
        user="me",
        metadata={"a": "b"},
        store=False,
        service_tier="auto",
        parallel_tool_calls=True,
        tools=[
            {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}
        ],
        tool_choice={"type": "function", "function": {"name": "f"}},
        extra_body={"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1, "ignore_eos": False, "min_tokens": 1},
    )
    assert answer.choices[0].message.content == "Hello there"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 9
    assert answer._request_id is not None


def test_what_was_answered_can_be_sent_back(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(model=CHAT, messages=[{"role": "user", "content": "Hi"}])
    echoed = [{"role": "user", "content": "Hi"}, first.choices[0].message, {"role": "user", "content": "And?"}]
    assert client.chat.completions.create(model=CHAT, messages=echoed).choices  # type: ignore[arg-type]
    called = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    conversation = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [called], "refusal": None, "annotations": []},
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
    ]
    assert client.chat.completions.create(model=CHAT, messages=conversation).choices  # type: ignore[arg-type]


def test_streaming(api: Api, client: openai.OpenAI) -> None:
    api.host.script = [0.4, *sse(*chat_events(usage=True))]
    stream = client.chat.completions.create(
        model=CHAT,
        messages=[{"role": "user", "content": "Hi"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hellothere"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 2


def test_a_broken_stream_raises(api: Api, client: openai.OpenAI) -> None:
    for ending in ([], [EngineFailed("The engine died.")], [RuntimeError("x")]):
        api.host.script = [*sse(*chat_events(), done=False), *ending]
        with pytest.raises(openai.APIError) as caught:
            list(ask(client, stream=True))  # type: ignore[call-overload]
        assert caught.value.type == "server_error"


def test_structured_output(client: openai.OpenAI) -> None:
    schema = {"name": "answer", "strict": True, "schema": {"type": "object", "properties": {}}}
    ask(client, response_format={"type": "json_schema", "json_schema": schema})
    ask(client, response_format={"type": "json_object"})
    ask(client, response_format={"type": "text"})


def test_a_parsed_answer_can_be_sent_back(api: Api, client: openai.OpenAI) -> None:
    tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "object"}}}
    answer = json.loads(json.dumps(ANSWERS["/v1/chat/completions"]))
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": [call]}
    api.host.body = json.dumps(answer).encode()
    asked = {"role": "user", "content": "Hi"}
    parsed = client.chat.completions.parse(model=CHAT, messages=[asked], tools=[tool])  # type: ignore[list-item]
    message = parsed.choices[0].message
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.parsed_arguments == {}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "x"}
    client.chat.completions.create(model=CHAT, messages=[asked, message, result])  # type: ignore[list-item]
    assert len(api.host.seen) == 2


def test_completions(client: openai.OpenAI) -> None:
    for prompt in ("Once", ["Once", "Twice"], [1, 2], [[1, 2], [3]]):
        answer = client.completions.create(
            model=CHAT, prompt=prompt, max_tokens=1, temperature=0, logprobs=1, seed=1234, echo=True
        )
        assert answer.choices[0].text == "Hello"


def test_embeddings(client: openai.OpenAI) -> None:
    for given in ("Hi", ["a", "b"], [1, 2], [[1], [2]]):
        assert client.embeddings.create(model=EMBED, input=given, dimensions=2).data[0].embedding == [
            0.5,
            -0.25,
        ]


def test_models(client: openai.OpenAI) -> None:
    assert [m.id for m in client.models.list()] == [CHAT, EMBED, TUNED]
    assert client.models.retrieve(TUNED).id == TUNED
    assert client.models.delete(TUNED).deleted


def test_errors_are_the_clients_own(api: Api, client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").models.list()
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nope")
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, temperature=3)
    assert caught.value.param == "temperature"
    with pytest.raises(openai.APIStatusError) as large:
        ask(client, user="x" * 1_000_000)
    assert large.value.status_code == 413
    api.host.failure = Overloaded("Full; try again.")
    with pytest.raises(openai.RateLimitError):
        ask(client)


def test_the_client_retries_what_passes(api: Api) -> None:
    api.host.failure = Overloaded("Full; try again.")
    api.host.failure.retry_after = 0
    with (
        openai.OpenAI(base_url=api.base_url, api_key=MASTER, max_retries=1) as client,
        pytest.raises(openai.RateLimitError),
    ):
        ask(client)
    assert len(api.host.seen) == 2
