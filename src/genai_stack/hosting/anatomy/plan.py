"""What of a model a request asks to see, checked against the model and the text it is about."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...errors import RequestError
from ...protocol.anatomy import AnatomyRequest
from .layer import Model

MAX_NUMBERS = 2_000_000
"""In one answer, some 20 MB of JSON: a SageMaker endpoint gives 25 MB at most."""
_DENSE, _SPARSE = 64, 16
"""Every attention weight is told of a text of up to so many tokens; of a longer one, so many a row."""


class Plan(msgspec.Struct, frozen=True):
    """Every choice made. `heads` None stands for their mean."""

    steps: frozenset[str]
    layers: Sequence[int]
    heads: Sequence[int] | None
    positions: Sequence[int]
    attention_top: int
    neighbours: int
    dimensions: int
    compare: Sequence[str]
    vectors: bool
    top_k: int
    temperature: float
    lens: bool


def plan(request: AnatomyRequest, model: Model, length: int) -> Plan:
    """Raises RequestError for what the model doesn't have, and for an answer that would be too large."""
    steps = frozenset(request.steps or ("embeddings", "attention", "output"))
    if not model.predicts:
        for name in ("top_k", "temperature", "lens"):
            if getattr(request, name) is not None:
                raise _no_output(name)
        if request.steps and "output" in request.steps:
            raise _no_output("steps")
        steps -= {"output"}
    vocabulary = len(model.table)
    top_k = min(5, vocabulary) if request.top_k is None else request.top_k
    if top_k > vocabulary:
        raise _outside("top_k", top_k, f"this model has {vocabulary} tokens")
    heads: Sequence[int] | None = None
    if request.heads != "mean":
        heads = _chosen("heads", request.heads, model.head_count, "this model has {} heads in a layer")
    if request.attention_top is not None and request.attention_top > length:
        raise _outside("attention_top", request.attention_top, f"the text has {length} tokens")
    found = Plan(
        steps=steps,
        layers=_chosen("layers", request.layers, model.layer_count, "this model has {} layers"),
        heads=heads,
        positions=_chosen("positions", request.positions, length, "the text has {} tokens"),
        attention_top=request.attention_top or (length if length <= _DENSE else _SPARSE),
        neighbours=5 if request.neighbours is None else request.neighbours,
        dimensions=request.dimensions or 2,
        compare=request.compare or (),
        vectors=bool(request.vectors),
        top_k=top_k,
        temperature=1.0 if request.temperature is None else request.temperature,
        lens=bool(request.lens),
    )
    _check_size(found, model, length)
    return found


def _chosen(param: str, given: Sequence[int] | str | None, count: int, has: str) -> Sequence[int]:
    if given is None or isinstance(given, str):
        return range(count)
    for place in given:
        if place >= count:
            raise _outside(param, place, has.format(count) + f", 0 to {count - 1}")
    return sorted(given)


def _check_size(wanted: Plan, model: Model, length: int) -> None:
    positions, layers = len(wanted.positions), len(wanted.layers)
    heads = 1 if wanted.heads is None else len(wanted.heads)
    width = model.width if wanted.vectors else 0
    row = length if wanted.attention_top == length else 2 * wanted.attention_top
    sizes = {
        "embeddings": positions * (3 * wanted.neighbours + 2 * width + 8),
        "attention": positions
        * layers
        * (heads * (row + 4) + 6 * wanted.neighbours + len(wanted.compare) + width + 8),
        "output": positions * 4 * (wanted.top_k + 2) * (1 + layers * wanted.lens),
    }
    numbers = sum(size for step, size in sizes.items() if step in wanted.steps)
    if numbers > MAX_NUMBERS:
        raise RequestError(
            f"The answer would hold {numbers:,} numbers, and {MAX_NUMBERS:,} is the most; choose 'layers', 'heads', "
            "'positions' or 'steps', or lower 'attention_top', 'top_k' or 'neighbours'.",
            code="answer_too_large",
        )


def _outside(param: str, value: int, has: str) -> RequestError:
    return RequestError(f"'{param}' has {value}, but {has}; correct it.", param=param, code="invalid_value")


def _no_output(param: str) -> RequestError:
    return RequestError(
        "This model turns a text into one vector and has no output projection; leave the step 'output' and its "
        f"parameters out, or name a model that generates text ('{param}').",
        param=param,
        code="unsupported_parameter",
    )
