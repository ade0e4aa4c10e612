"""litellm against a live stack: chat, stream, tools, structured output, embeddings."""

import asyncio
import json
import os

import litellm

TO = {
    "api_base": os.environ["GENAI_STACK_BASE_URL"],
    "api_key": os.environ["GENAI_STACK_API_KEY"],
    "num_retries": 0,
}
CHAT = {"model": "openai/builtin", "temperature": 0, "max_tokens": 64, **TO}
HELLO = [{"role": "user", "content": "Say hello."}]
SCHEMA = {
    "type": "object",
    "properties": {"mood": {"enum": ["glad", "sad"]}, "urgent": {"type": "boolean"}},
    "required": ["mood", "urgent"],
    "additionalProperties": False,
}

answer = litellm.completion(messages=HELLO, **CHAT)
text = answer.choices[0].message.content
assert text, answer
assert answer.usage.completion_tokens > 0, answer
print("chat")

chunks = list(litellm.completion(messages=HELLO, stream=True, stream_options={"include_usage": True}, **CHAT))
assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text, chunks
assert any(getattr(c, "usage", None) and c.usage.completion_tokens for c in chunks), chunks
print("stream")


async def asynchronous() -> str:
    stream = await litellm.acompletion(messages=HELLO, stream=True, **CHAT)
    return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])


assert asyncio.run(asynchronous()) == text
print("async stream")

TOOL = {
    "type": "function",
    "function": {"name": "judge", "description": "Judges a letter.", "parameters": SCHEMA},
}
called = litellm.completion(messages=HELLO, tools=[TOOL], tool_choice="required", **CHAT)
(call,) = called.choices[0].message.tool_calls
assert call.function.name == "judge", call
assert json.loads(call.function.arguments)["mood"] in ("glad", "sad"), call
print("tools")

form = {"type": "json_schema", "json_schema": {"name": "mood", "strict": True, "schema": SCHEMA}}
found = litellm.completion(messages=HELLO, response_format=form, **CHAT)
assert set(json.loads(found.choices[0].message.content)) == {"mood", "urgent"}, found
print("structured output")

made = litellm.embedding(
    model="openai/all-minilm-l6-v2", input=["a small dog", "a little puppy"], encoding_format="float", **TO
)
assert [len(row["embedding"]) for row in made.data] == [384, 384], made
print("embeddings")

missing = None
try:
    litellm.completion(model="openai/nope", messages=HELLO, **TO)
except litellm.NotFoundError as error:
    missing = str(error)
assert missing, "an unknown model was answered"
assert "nope" in missing, missing
print("errors")
