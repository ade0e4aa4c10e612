"""Log-probabilities of given tokens, on the plain OpenVINO runtime (the batching engine reports none but its own
choice). Natural logarithms of the model's distribution, before temperature and penalties."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from .weights import FloatArray
from .wire import TokenScore

CHUNK = 256
"""Tokens per inference: bounds the logits held to CHUNK × vocabulary."""


class Scorer:
    """One compiled model; a `Session` per sequence shares its weights."""

    def __init__(self, model: ov.Model | Path, properties: dict[str, Any]) -> None:
        core = ov.Core()
        self._compiled = core.compile_model(
            core.read_model(model) if isinstance(model, Path) else model, "CPU", properties
        )

    def session(self) -> Session:
        return Session(self._compiled.create_infer_request())

    def score(self, tokens: list[int], alternatives: int) -> Iterator[list[TokenScore]]:
        """Scores of `tokens[1:]`, in pieces of at most CHUNK."""
        session = self.session()
        session.feed(tokens[:1])
        for start in range(1, len(tokens), CHUNK):
            yield session.score(tokens[start : start + CHUNK], alternatives)


class Session:
    """A sequence so far. Its state holds the keys and values, so each token is computed once."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._length = 0
        self._next: FloatArray | None = None

    def feed(self, tokens: list[int]) -> None:
        """Appends `tokens`; what comes next can then be scored."""
        for start in range(0, len(tokens), CHUNK):
            self._next = self._infer(tokens[start : start + CHUNK])[-1]

    def score(self, tokens: list[int], alternatives: int) -> list[TokenScore]:
        """Scores of at most CHUNK `tokens` that come next, which are appended."""
        if self._next is None:
            raise ValueError("nothing comes before the first token to score by")
        after = self._infer(tokens)
        rows = np.concatenate([self._next[None], after[:-1]])
        self._next = after[-1]
        return _scores(rows, np.array(tokens), alternatives)

    def _infer(self, tokens: list[int]) -> FloatArray:
        """Logits [T, V] after each of `tokens`."""
        count, end = len(tokens), self._length + len(tokens)
        inputs = {
            "input_ids": np.array([tokens], dtype=np.int64),
            "attention_mask": np.ones((1, end), dtype=np.int64),
            "position_ids": np.arange(self._length, end, dtype=np.int64)[None],
            "beam_idx": np.zeros(1, dtype=np.int32),
        }
        self._length = end
        logits: FloatArray = self._request.infer(inputs)["logits"][0, :count].copy()
        return logits


def _scores(logits: FloatArray, tokens: NDArray[np.int64], alternatives: int) -> list[TokenScore]:
    peak = logits.max(axis=1, keepdims=True)
    logprobs = logits - (peak + np.log(np.exp(logits - peak).sum(axis=1, keepdims=True)))
    chosen = logprobs[np.arange(len(tokens)), tokens]
    count = min(alternatives, logprobs.shape[1])
    if not count:
        return [TokenScore(float(value), []) for value in chosen]
    likeliest = np.argpartition(-logprobs, count - 1, axis=1)[:, :count]
    found = []
    for row, candidates, value in zip(logprobs, likeliest, chosen, strict=True):
        ranked = sorted((-float(row[i]), int(i)) for i in candidates)
        found.append(TokenScore(float(value), [(token, -negative) for negative, token in ranked]))
    return found
