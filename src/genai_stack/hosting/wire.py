"""What the server and its engine process say to each other: length-prefixed msgpack over the child's stdin and stdout.

One `Step` carries the news of every sequence after a step of the engine, so the cost per token stays small.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal

import msgspec

_PREFIX = struct.Struct("<I")
RUNNING, STOPPED, LENGTH, FAILED = 0, 1, 2, 3


class Load(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The first message. `cache` is where compiled models are kept; `threads` 0 takes every core."""

    directory: str
    adapter: str | None
    cache: str
    precision: Literal["int8", "f32"]
    threads: int
    max_running: int
    kv_cache_mb: int
    sha256: str | None = None


class Tags(msgspec.Struct, frozen=True, array_like=True):
    """Free text in which `trigger` opens one of `tags`: (begin, EBNF of what follows, end)."""

    trigger: str
    tags: list[tuple[str, str, str]]
    at_most_one: bool


class Generate(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """One sequence. `temperature` 0 is greedy; `scored` asks for log-probabilities with that many alternatives."""

    id: int
    prompt: list[int]
    max_new: int
    min_new: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition: float = 1.0
    presence: float = 0.0
    frequency: float = 0.0
    seed: int = 0
    ignore_eos: bool = False
    grammar: str | Tags | None = None
    scored: int | None = None


class Cancel(msgspec.Struct, frozen=True, tag=True, array_like=True):
    ids: list[int]


class Score(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Log-probabilities of `tokens[1:]`, each given those before it, in full precision."""

    id: int
    tokens: list[int]
    alternatives: int


class Embed(msgspec.Struct, frozen=True, tag=True, array_like=True):
    id: int
    inputs: list[list[int]]


Command = Load | Generate | Cancel | Score | Embed


class TokenScore(msgspec.Struct, frozen=True, array_like=True):
    """Natural logarithms, before temperature and penalties. `alternatives` are (token, logprob), likeliest first."""

    logprob: float
    alternatives: list[tuple[int, float]]


class Output(msgspec.Struct, array_like=True):
    """New tokens of one sequence, the stop token included when it came. `finish` is RUNNING or how it ended."""

    id: int
    tokens: list[int]
    finish: int
    scores: list[TokenScore] | None = None


class Ready(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The model is up. `structured` says why grammars can't be enforced; None where they can."""

    structured: str | None = None


class Refused(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The model can't be used (InvalidModel); the process ends."""

    message: str


class Step(msgspec.Struct, frozen=True, tag=True, array_like=True):
    outputs: list[Output]


class Scored(msgspec.Struct, frozen=True, tag=True, array_like=True):
    id: int
    scores: list[TokenScore]


class Embedded(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Rows of little-endian float32, one per input, joined."""

    id: int
    rows: bytes


Report = Ready | Refused | Step | Scored | Embedded

encode = msgspec.msgpack.Encoder().encode
decode_command = msgspec.msgpack.Decoder(Command).decode
decode_report = msgspec.msgpack.Decoder(Report).decode


def frame(message: Command | Report) -> bytes:
    body = encode(message)
    return _PREFIX.pack(len(body)) + body


class Frames:
    """Cuts a byte stream into message bodies."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= 4:
            (length,) = _PREFIX.unpack_from(buffer, start)
            if len(buffer) - start - 4 < length:
                break
            yield bytes(buffer[start + 4 : start + 4 + length])
            start += 4 + length
        del buffer[:start]
