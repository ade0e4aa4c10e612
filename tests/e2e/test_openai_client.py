"""The unmodified openai client against a stack that a person would start: `genai-stack up` and nothing else."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any, Literal

import pytest
from openai import AsyncOpenAI, AuthenticationError, BadRequestError, NotFoundError, OpenAI
from pydantic import BaseModel

from tests.live import Live

HELLO: list[Any] = [{"role": "user", "content": "Say hello."}]
SCHEMA = {
    "type": "object",
    "properties": {"mood": {"enum": ["glad", "sad"]}, "urgent": {"type": "boolean"}},
    "required": ["mood", "urgent"],
    "additionalProperties": False,
}
TOOL: Any = {"type": "function", "function": {"name": "judge", "description": "Judges.", "parameters": SCHEMA}}


@pytest.fixture
def client(live: Live) -> Any:
    with live.openai() as made:
        yield made


def chat(client: OpenAI, **options: Any) -> Any:
    asked = {"model": "builtin", "messages": HELLO, "temperature": 0, "max_tokens": 48, **options}
    return client.chat.completions.create(**asked)


def test_models_are_listed(client: OpenAI) -> None:
    assert {"builtin", "all-minilm-l6-v2"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("builtin").object == "model"


def test_a_chat_is_answered(client: OpenAI) -> None:
    answer = chat(client)
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.model == "builtin"


def test_a_stream_says_the_same(client: OpenAI) -> None:
    whole = chat(client)
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))
    told = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert told == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == whole.choices[0].finish_reason
    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)


async def test_an_asynchronous_stream_says_the_same(live: Live, client: OpenAI) -> None:
    whole = chat(client)
    async with AsyncOpenAI(base_url=live.base_url, api_key=live.key, max_retries=0) as other:
        stream = await other.chat.completions.create(
            model="builtin", messages=HELLO, temperature=0, max_tokens=48, stream=True
        )
        told = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
    assert told == whole.choices[0].message.content


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "judge"}}])
def test_a_tool_is_called_by_its_schema(client: OpenAI, choice: Any) -> None:
    message = chat(client, tools=[TOOL], tool_choice=choice, max_tokens=128).choices[0].message
    (call,) = message.tool_calls
    assert call.function.name == "judge"
    found = json.loads(call.function.arguments)
    assert found["mood"] in ("glad", "sad")
    assert isinstance(found["urgent"], bool)


def test_a_tool_that_must_not_be_called_is_not(client: OpenAI) -> None:
    assert not chat(client, tools=[TOOL], tool_choice="none").choices[0].message.tool_calls


def test_output_follows_a_schema(client: OpenAI) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "mood", "strict": True, "schema": SCHEMA}}
    found = json.loads(chat(client, response_format=form).choices[0].message.content)
    assert set(found) == {"mood", "urgent"}


def test_the_client_s_own_parsing_works(client: OpenAI) -> None:
    class Mood(BaseModel):
        mood: Literal["glad", "sad"]

    parsed = client.chat.completions.parse(
        model="builtin", messages=HELLO, response_format=Mood, temperature=0, max_tokens=48
    )
    assert isinstance(parsed.choices[0].message.parsed, Mood)


def test_embeddings_mean_something(client: OpenAI) -> None:
    texts = ["a small dog", "a little puppy", "the price of steel"]
    made = client.embeddings.create(model="all-minilm-l6-v2", input=texts)
    near, same, far = (row.embedding for row in made.data)
    assert len(near) == 384
    assert sum(a * a for a in near) == pytest.approx(1, abs=1e-3)
    assert dot(near, same) > dot(near, far) + 0.2
    raw: Any = client.embeddings.create(model="all-minilm-l6-v2", input=texts[0], encoding_format="base64")
    decoded = struct.unpack("<384f", base64.b64decode(raw.data[0].embedding))
    assert decoded == pytest.approx(near, abs=1e-2)
    assert (
        len(client.embeddings.create(model="all-minilm-l6-v2", input="x", dimensions=64).data[0].embedding)
        == 64
    )


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_completions_score_text(client: OpenAI) -> None:
    text = "The cat sat on the mat."
    scored = client.completions.create(
        model="builtin", prompt=text, echo=True, max_tokens=1, logprobs=1, temperature=0
    ).choices[0]
    assert scored.text.startswith(text)
    assert scored.logprobs.token_logprobs[0] is None
    assert all(value <= 0 for value in scored.logprobs.token_logprobs[1:])
    assert (
        len(scored.logprobs.tokens) == len(scored.logprobs.token_logprobs) == len(scored.logprobs.text_offset)
    )


def test_what_is_wrong_is_said(live: Live, client: OpenAI) -> None:
    with pytest.raises(NotFoundError) as missing:
        chat(client, model="nope")
    assert missing.value.code == "model_not_found"
    with pytest.raises(BadRequestError) as long:
        chat(client, messages=[{"role": "user", "content": "word " * 20_000}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(AuthenticationError), OpenAI(base_url=live.base_url, api_key="sk-wrong") as stranger:
        chat(stranger)
    assert chat(client).choices[0].message.content
