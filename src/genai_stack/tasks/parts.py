"""A text that is longer than the model's context, asked in parts.

Whether a text fits, the model's server says, which counts its tokens before it works. Into how many parts one goes that
doesn't, a sample of its tokens says where the server counts for others (`/v1/tokenize`); a part that still doesn't fit
is halved.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from ..errors import ContextLengthExceeded
from .cutting import cut
from .model import Model, TooLong

MOST = 64
"""Parts that one text may have."""
AT_ONCE = 8
SHORTEST = 64
"""Characters: what is shorter than that and doesn't fit won't fit in parts either."""
_SAMPLES, _SAMPLE = 6, 2000
_MARGIN = 1.15

T = TypeVar("T")
Ask = Callable[[str], Awaitable[T]]


async def in_parts(
    model: Model, text: str, ask: Ask[T], *, answer: int, per_byte: float = 0.0, at_once: int = AT_ONCE
) -> list[T]:
    """What `ask` gives for the text, or for each of its parts in order. `ask` raises TooLong; what it writes takes
    `answer` tokens, and `per_byte` more for each byte of its text. Raises ContextLengthExceeded."""
    try:
        return [await ask(text)]
    except TooLong as error:
        long = error
    parts = cut(text, await _count(model, text, answer, per_byte, long))
    made = len(parts)

    async def one(part: str) -> list[T]:
        nonlocal made
        if not part.strip():
            return []
        try:
            return [await ask(part)]
        except TooLong as error:
            if len(part) < SHORTEST:
                raise error.error from None
        made += 1
        if made > MOST:
            raise too_many(model)
        return [found for half in cut(part, 2) for found in await one(half)]

    return [found for each in await together([one(part) for part in parts], at_once) for found in each]


async def together(work: Sequence[Coroutine[Any, Any, T]], at_once: int = AT_ONCE) -> list[T]:
    """The results in order. The first failure ends all of it."""
    gate = asyncio.Semaphore(at_once)

    async def admitted(each: Coroutine[Any, Any, T]) -> T:
        async with gate:
            return await each

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(admitted(each)) for each in work]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        for each in work:
            each.close()
    return [task.result() for task in tasks]


def too_many(model: Model) -> ContextLengthExceeded:
    param = model.params["messages"]
    return ContextLengthExceeded(
        f"The {param} is longer than {MOST} times the context of '{model.name}'; send less of it at a time, or name a "
        "model with a longer context.",
        param=param,
    )


async def _count(model: Model, text: str, answer: int, per_byte: float, long: TooLong) -> int:
    if len(text) < SHORTEST:
        raise long.error from None
    step = max(len(text) // _SAMPLES, _SAMPLE)
    samples = [text[at : at + _SAMPLE] for at in range(0, len(text), step)]
    counted = [found for sample in samples if (found := await model.tokens(sample))]
    if not counted:
        return 2
    window = counted[0].max_model_len
    density = sum(found.count for found in counted) / sum(len(sample) for sample in samples[: len(counted)])
    need = density * len(text) + per_byte * len(text.encode(errors="replace"))
    parts = math.ceil(need * _MARGIN / max(window - answer, window // 4, 1))
    if parts > MOST:
        raise too_many(model)
    return max(parts, 2)
