"""A request's sampling parameters, as the engine takes them."""

from __future__ import annotations

import secrets

from ..protocol import ChatRequest, CompletionRequest
from .serving import Served
from .wire import Generate, Tags


def sequences(
    request: ChatRequest | CompletionRequest,
    served: Served,
    prompt: list[int],
    most: int,
    *,
    grammar: str | Tags | None = None,
    scored: int | None = None,
) -> list[Generate]:
    """`n` sequences after one prompt; sequence i has the seed `seed` + i, so each can be had again alone."""
    defaults = served.defaults
    seed = request.seed if request.seed is not None else secrets.randbits(32)
    return [
        Generate(
            id=0,
            prompt=prompt,
            max_new=most,
            min_new=min(request.min_tokens or 0, most),
            temperature=_given(request.temperature, defaults.temperature),
            top_p=_given(request.top_p, defaults.top_p),
            top_k=int(_given(request.top_k, defaults.top_k)),
            min_p=_given(request.min_p, defaults.min_p),
            repetition=_given(request.repetition_penalty, defaults.repetition_penalty),
            presence=request.presence_penalty or 0.0,
            frequency=request.frequency_penalty or 0.0,
            seed=(seed + index) % 2**32,
            ignore_eos=bool(request.ignore_eos),
            grammar=grammar,
            scored=scored,
        )
        for index in range(request.n or 1)
    ]


def _given(value: float | None, default: float) -> float:
    return default if value is None else value
