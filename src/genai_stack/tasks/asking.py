"""A prompt and a request made into the messages of a chat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..task_prompts import Prompt, filled
from .model import Message
from .neutral import neutral

Values = Mapping[str, str]


def conversation(prompt: Prompt, values: Values, examples: Iterable[tuple[Values, str]] = ()) -> list[Message]:
    """The system turn where there is one, each example as a turn and its answer, and then what is asked. An example
    has its own of some of `values`."""
    told = {name: neutral(value) for name, value in values.items()}
    messages: list[Message] = []
    if prompt.system:
        messages.append({"role": "system", "content": filled(prompt.system, told)})
    for given, output in examples:
        own = {**told, **{name: neutral(value) for name, value in given.items()}}
        messages.append({"role": "user", "content": filled(prompt.user, own)})
        messages.append({"role": "assistant", "content": neutral(output)})
    return [*messages, {"role": "user", "content": filled(prompt.user, told)}]
