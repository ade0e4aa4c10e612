"""langchain-openai against a live stack: chat, stream, tools, structured output, embeddings."""

import asyncio
import operator
import os
from typing import Literal

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

BASE_URL, KEY = os.environ["GENAI_STACK_BASE_URL"], os.environ["GENAI_STACK_API_KEY"]
QUESTION = "Say hello."


class Mood(BaseModel):
    """How a letter sounds."""

    mood: Literal["glad", "sad"]
    urgent: bool


@tool
def look_up(topic: Literal["weather", "time"]) -> str:
    """Looks something up."""
    return topic


def model(**options: object) -> ChatOpenAI:
    return ChatOpenAI(
        base_url=BASE_URL, api_key=KEY, model="builtin", temperature=0, max_retries=0, max_tokens=64, **options
    )


answer = model().invoke(QUESTION)
assert answer.content, answer
assert answer.usage_metadata["output_tokens"] > 0, answer
assert answer.response_metadata["finish_reason"] in ("stop", "length"), answer
print("chat")

chunks = list(model(stream_usage=True).stream(QUESTION))
assert "".join(chunk.content for chunk in chunks) == answer.content, chunks
assert sum(chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata) > 0, chunks
print("stream")


async def asynchronous() -> str:
    return "".join([chunk.content async for chunk in model().astream(QUESTION)])


assert asyncio.run(asynchronous()) == answer.content
print("async stream")

called = model().bind_tools([look_up], tool_choice="any").invoke("What is the weather?")
(call,) = called.tool_calls
assert call["name"] == "look_up", call
assert call["args"]["topic"] in ("weather", "time"), call
print("tools")

for method in ("json_schema", "function_calling"):
    found = model().with_structured_output(Mood, method=method).invoke("I am so happy today!")
    assert isinstance(found, Mood), found
print("structured output")

# check_embedding_ctx_length counts tokens with OpenAI's own tokenizer, which is another model's.
embeddings = OpenAIEmbeddings(
    base_url=BASE_URL, api_key=KEY, model="all-minilm-l6-v2", check_embedding_ctx_length=False, max_retries=0
)
near, same, far = embeddings.embed_documents(["a small dog", "a little puppy", "the price of steel"])
assert len(near) == 384, len(near)
assert sum(map(operator.mul, near, same)) > sum(map(operator.mul, near, far))
print("embeddings")
