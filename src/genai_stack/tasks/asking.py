"""A prompt and a request made into the messages of a chat."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from ..task_prompts import Prompt, filled
from .model import Message
from .neutral import STEP, neutral

Values = Mapping[str, str]


async def conversation(
    prompt: Prompt, values: Values, examples: Sequence[tuple[Values, str]] = ()
) -> list[Message]:
    """The system turn where there is one, each example as a turn and its answer, and then what is asked. An example
    has its own of some of `values`. Long texts are looked through in a thread."""
    texts = [*values.values(), *(text for given, output in examples for text in (*given.values(), output))]
    if sum(map(len, texts)) > STEP:
        return await asyncio.to_thread(_made, prompt, values, examples)
    return _made(prompt, values, examples)


def _made(prompt: Prompt, values: Values, examples: Iterable[tuple[Values, str]]) -> list[Message]:
    told = {name: neutral(value) for name, value in values.items()}
    messages: list[Message] = []
    if prompt.system:
        messages.append({"role": "system", "content": filled(prompt.system, told)})
    for given, output in examples:
        own = {**told, **{name: neutral(value) for name, value in given.items()}}
        messages.append({"role": "user", "content": filled(prompt.user, own)})
        messages.append({"role": "assistant", "content": neutral(output)})
    return [*messages, {"role": "user", "content": filled(prompt.user, told)}]
