"""instructor against a live stack: typed answers by tools and by schema, whole and streamed; chat and embeddings pass
through the client it wraps."""

import os
from typing import Literal

import instructor
from openai import OpenAI
from pydantic import BaseModel

HELLO = [{"role": "user", "content": "I am so happy today!"}]


class Mood(BaseModel):
    """How a letter sounds."""

    mood: Literal["glad", "sad"]
    urgent: bool


plain = OpenAI(
    base_url=os.environ["GENAI_STACK_BASE_URL"], api_key=os.environ["GENAI_STACK_API_KEY"], max_retries=0
)
ASK = {"model": "builtin", "messages": HELLO, "temperature": 0, "max_tokens": 64}

for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA, instructor.Mode.TOOLS_STRICT):
    client = instructor.from_openai(plain, mode=mode)
    found = client.chat.completions.create(response_model=Mood, max_retries=0, **ASK)
    assert isinstance(found, Mood), (mode, found)
    partial = list(client.chat.completions.create_partial(response_model=Mood, max_retries=0, **ASK))
    assert len(partial) > 1, (mode, partial)
    assert partial[-1].mood in ("glad", "sad"), (mode, partial)
    print(f"structured output and its stream by {mode.value}")

answer = plain.chat.completions.create(**ASK)
assert answer.choices[0].message.content, answer
assert "".join(
    c.choices[0].delta.content or "" for c in plain.chat.completions.create(stream=True, **ASK) if c.choices
)
print("chat and stream")

made = plain.embeddings.create(model="all-minilm-l6-v2", input="a small dog", dimensions=384)
assert len(made.data[0].embedding) == 384, made
print("embeddings")
