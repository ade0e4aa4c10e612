"""`POST /v1/anatomy`: what may be asked about how a model reads a text, and what is answered.

Positions count tokens from 0, layers and heads count from 0, offsets count bytes of the text in UTF-8.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .replies import Usage
from .requests import INT32, ModelName

Step = Literal["tokens", "embeddings", "attention", "output"]
Index = Annotated[int, Meta(ge=0, le=INT32)]
Indices = Annotated[list[Index], Meta(min_length=1, max_length=4096)]
Word = Annotated[str, Meta(min_length=1, max_length=256)]


class AnatomyRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/anatomy. Tokens are always told; `steps` chooses among the others (all that the model has).

    `parse_special` reads the text's control tokens as such (unset: they are plain text); `add_special_tokens` puts
    around it what the model wants there (unset: yes). `layers`, `heads` and `positions` choose (unset: all); heads
    "mean" averages over them. `attention_top` keeps each row's largest weights only (unset: all of them for a text of
    up to 64 tokens, else 16). `neighbours` is how many tokens of the vocabulary are told beside a vector (5),
    `dimensions` what vectors are projected to (2), `compare` words to measure every vector against, `vectors` asks for
    the vectors themselves. `top_k` next tokens are told (5), at `temperature` (1; 0 gives all to the likeliest), with
    `lens` after each layer as well.
    """

    model: ModelName
    text: Annotated[str, Meta(min_length=1)]
    steps: Annotated[list[Step], Meta(min_length=1, max_length=4)] | None = None
    parse_special: bool | None = None
    add_special_tokens: bool | None = None
    layers: Indices | None = None
    heads: Indices | Literal["mean"] | None = None
    positions: Indices | None = None
    attention_top: Annotated[int, Meta(ge=1, le=4096)] | None = None
    neighbours: Annotated[int, Meta(ge=0, le=50)] | None = None
    dimensions: Literal[2, 3] | None = None
    compare: Annotated[list[Word], Meta(min_length=1, max_length=32)] | None = None
    vectors: bool | None = None
    top_k: Annotated[int, Meta(ge=1, le=1000)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    lens: bool | None = None


class Token(Struct, frozen=True):
    """`token` is the vocabulary's entry, `text` and `bytes` what of the text it stands for: bytes [start, end). One
    that the model wanted around the text is `added` and stands for none."""

    position: int
    id: int
    token: str
    text: str
    bytes: list[int]
    start: int
    end: int
    added: bool = False


class Skipped(Struct, frozen=True):
    """What of the text no token stands for (an encoder drops spaces). With the tokens it makes up the whole text."""

    start: int
    end: int
    text: str


class Neighbour(Struct, frozen=True):
    """`similarity` is the cosine of the angle between two vectors: 1 where they point the same way."""

    id: int
    token: str
    similarity: float


class Embedded(Struct, frozen=True):
    """A token's vector in the model's table: `norm` is its length, `point` its place in the projection. Where the
    first layer is given something else (the position is added), that is `entering`."""

    position: int
    norm: float
    point: list[float]
    neighbours: list[Neighbour]
    vector: list[float] | None = None
    entering: list[float] | None = None


class AttentionRow(Struct, frozen=True):
    """How much of each token the one at `position` takes in: of all of them in order, or of those in `to`, the
    largest first, with `rest` for the others. All of it adds up to 1."""

    position: int
    weights: list[float]
    to: list[int] | None = None
    rest: float = 0.0


class AttentionMap(Struct, frozen=True):
    """`head` is null for the mean over all heads."""

    layer: int
    head: int | None
    rows: list[AttentionRow]


class State(Struct, frozen=True):
    """A token's vector after a layer: how far the layer `moved` it (Euclidean), how similar it still is to what the
    first layer was given, the tokens it is nearest to now, and those the movement points `towards`. `compared` has a
    similarity for each word asked for, after the same layer."""

    layer: int
    position: int
    norm: float
    moved: float
    similarity_to_start: float
    point: list[float]
    nearest: list[Neighbour]
    towards: list[Neighbour]
    compared: list[float] | None = None
    vector: list[float] | None = None


class Candidate(Struct, frozen=True):
    id: int
    token: str
    logit: float
    probability: float


class Lens(Struct, frozen=True):
    """What would be predicted if the model ended after `layer`."""

    layer: int
    top: list[Candidate]


class Prediction(Struct, frozen=True):
    """After the token at `position` (for an encoder: in its place) the likeliest are `top`; all others share `rest`,
    and together they are 1. `entropy`, in bits, is how open the choice is. `next` is the token that does come next."""

    position: int
    top: list[Candidate]
    rest: float
    entropy: float
    next: Candidate | None = None
    lens: list[Lens] | None = None


class Pooled(Struct, frozen=True):
    """Where an encoder's tokens end: their mean, at length 1, is the text's embedding. `similarity` is each token's
    to it."""

    similarity: list[float]
    vector: list[float] | None = None


class Shape(Struct, frozen=True):
    """`width` is how many numbers a vector has."""

    kind: Literal["decoder", "encoder"]
    layers: int
    heads: int
    width: int
    vocabulary: int


class Anatomy(Struct, frozen=True):
    """A step that wasn't asked for, or that the model doesn't have, is null. A sentence encoder has no `output`; its
    last step is `pooled`."""

    object: Literal["anatomy"]
    model: str
    shape: Shape
    tokens: list[Token]
    skipped: list[Skipped]
    embeddings: list[Embedded] | None
    attention: list[AttentionMap] | None
    states: list[State] | None
    output: list[Prediction] | None
    pooled: Pooled | None
    usage: Usage
