"""A look inside a model, asked for with typed options and answered with types."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

import msgspec

from ..errors import EngineFailed
from ..protocol.anatomy import Anatomy, Step

ROUTE = "/v1/anatomy"


class AnatomyOptions(TypedDict, total=False):
    """What `protocol.anatomy.AnatomyRequest` takes beside the model and the text, and means the same."""

    steps: list[Step]
    parse_special: bool
    add_special_tokens: bool
    layers: list[int]
    heads: list[int] | Literal["mean"]
    positions: list[int]
    attention_top: int
    neighbours: int
    dimensions: Literal[2, 3]
    compare: list[str]
    vectors: bool
    top_k: int
    temperature: float
    lens: bool


def read(answer: Any) -> Anatomy:
    """Raises EngineFailed for an answer of another shape."""
    try:
        return msgspec.convert(answer, Anatomy)
    except msgspec.ValidationError as error:
        raise EngineFailed(
            f"the model's container doesn't answer {ROUTE} as this client knows it: {error}"
        ) from error
