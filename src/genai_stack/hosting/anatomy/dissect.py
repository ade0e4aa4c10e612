"""A text read by a model, and what is worth telling of each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...errors import ContextLengthExceeded, RequestError
from ...protocol.anatomy import (
    Anatomy,
    AnatomyRequest,
    AttentionMap,
    AttentionRow,
    Candidate,
    Embedded,
    Lens,
    Neighbour,
    Pooled,
    Prediction,
    Shape,
    State,
)
from ...protocol.replies import Usage
from ..text import Text
from ..weights import FloatArray
from .arithmetic import project, unit
from .layer import Layer, Model
from .plan import Plan, plan
from .tokens import cut

MAX_TOKENS = 512
_AT_ONCE = 64
"""Vectors that are scored against the whole vocabulary together; more would take memory and no less time."""


class Stopped(Exception):
    """Nobody waits for the answer any more."""


def dissect(
    model: Model,
    text: Text,
    request: AnatomyRequest,
    *,
    context: int = MAX_TOKENS,
    stopped: Callable[[], bool] = lambda: False,
) -> Anatomy:
    """All that `request` asks to see. `context` is the model's window in tokens.
    Raises RequestError and ContextLengthExceeded, and Stopped when `stopped` says so between two layers."""
    most = min(MAX_TOKENS, context)
    if len(request.text) > most * text.longest:
        raise _too_long(f"{len(request.text)} characters can't fit", most)
    special = request.add_special_tokens is not False
    tokens, skipped = cut(text, request.text, control=bool(request.parse_special), special=special)
    if len(tokens) > most:
        raise _too_long(f"the text has {len(tokens)}", most)
    if not tokens:
        raise RequestError("The text comes to no tokens; send another.", param="text", code="invalid_value")
    ids = [token.id for token in tokens]
    wanted = plan(request, model, len(ids))
    reading = _Reading(model, text, wanted, ids, stopped)
    after = reading.through() if wanted.steps & {"attention", "output"} else None
    pooled = None
    if after is not None and not model.predicts:
        pooled = _pooled(after, wanted.vectors)
    return Anatomy(
        object="anatomy",
        model=request.model,
        shape=Shape(
            kind="decoder" if model.causal else "encoder",
            layers=model.layer_count,
            heads=model.head_count,
            width=model.width,
            vocabulary=len(model.table),
        ),
        tokens=tokens,
        skipped=skipped,
        embeddings=reading.embedded() if "embeddings" in wanted.steps else None,
        attention=reading.attention if "attention" in wanted.steps else None,
        states=reading.states if "attention" in wanted.steps else None,
        output=reading.predictions(after) if after is not None and "output" in wanted.steps else None,
        pooled=pooled,
        usage=Usage(prompt_tokens=len(ids), total_tokens=len(ids)),
    )


class _Reading:
    """One text on its way through the model; what was seen of it gathers here."""

    def __init__(
        self, model: Model, text: Text, wanted: Plan, ids: Sequence[int], stopped: Callable[[], bool]
    ) -> None:
        self._model, self._text, self._wanted, self._ids = model, text, wanted, ids
        self._stopped = stopped
        self._directions = unit(model.table)
        self._start = model.enter(ids)
        self._lens: dict[int, list[Lens]] = {position: [] for position in wanted.positions}
        self.attention: list[AttentionMap] = []
        self.states: list[State] = []

    def embedded(self) -> list[Embedded]:
        """Step 2: each token's vector as it stands in the table, wherever the token is."""
        wanted, places = self._wanted, list(self._wanted.positions)
        rows = self._model.table[[self._ids[place] for place in places]]
        points = project(self._model.table[list(self._ids)], wanted.dimensions)
        found = []
        for at, near in enumerate(self._nearest(rows, beside=places)):
            place = places[at]
            entering = self._start[place]
            same = np.array_equal(entering, rows[at])
            found.append(
                Embedded(
                    position=place,
                    norm=_short(np.linalg.norm(rows[at])),
                    point=_numbers(points[place]),
                    neighbours=near,
                    vector=_numbers(rows[at]) if wanted.vectors else None,
                    entering=_numbers(entering) if wanted.vectors and not same else None,
                )
            )
        return found

    def through(self) -> FloatArray:
        """Step 3: the vectors carried through the layers; what they are after the last one."""
        wanted, before, seen = self._wanted, self._start, []
        words = [self._word(index, word) for index, word in enumerate(wanted.compare)]
        for layer in self._model.layers(self._start):
            self._check()
            if layer.index in wanted.layers:
                if "attention" in wanted.steps:
                    self.attention += self._maps(layer)
                    seen.append((layer, before))
                if wanted.lens:
                    self._look_ahead(layer)
            before = layer.state
        if seen:
            self._tell_states(seen, words)
        return before

    def predictions(self, after: FloatArray) -> list[Prediction]:
        """Step 4: the last vectors, turned into a score for every token of the vocabulary."""
        found = []
        for place, scores, shares in self._scored(after):
            top = _largest(scores, self._wanted.top_k)
            follows = self._model.causal and place + 1 < len(self._ids)
            found.append(
                Prediction(
                    position=place,
                    top=[self._candidate(id, scores, shares) for id in top],
                    rest=max(0.0, 1 - float(shares[top].sum())),
                    entropy=_short(-(shares * np.log2(np.maximum(shares, 1e-30))).sum() + 0.0),
                    next=self._candidate(self._ids[place + 1], scores, shares) if follows else None,
                    lens=self._lens[place] if self._wanted.lens else None,
                )
            )
        return found

    def _maps(self, layer: Layer) -> Iterator[AttentionMap]:
        heads = self._wanted.heads
        if heads is None:
            yield AttentionMap(layer.index, None, self._rows(layer.attention.mean(axis=0)))
        for head in heads or ():
            yield AttentionMap(layer.index, head, self._rows(layer.attention[head]))

    def _rows(self, attention: FloatArray) -> list[AttentionRow]:
        top = self._wanted.attention_top
        if top == len(self._ids):
            return [AttentionRow(place, _numbers(attention[place])) for place in self._wanted.positions]
        rows = []
        for place in self._wanted.positions:
            to = _largest(attention[place], top)
            weights = attention[place][to]
            rest = max(0.0, 1 - float(weights.sum()))
            rows.append(AttentionRow(place, _numbers(weights), to.tolist(), _short(rest)))
        return rows

    def _tell_states(self, seen: Sequence[tuple[Layer, FloatArray]], words: Sequence[list[FloatArray]]) -> None:
        """One State per layer and position. The projection is one for all layers, so that points make a path."""
        wanted, places = self._wanted, list(self._wanted.positions)
        every = np.stack([layer.state[places] for layer, _ in seen])
        flat = unit(every.reshape(-1, self._model.width))
        points = project(flat, wanted.dimensions).reshape(len(seen), len(places), -1)
        start = unit(self._start)
        for at, (layer, before) in enumerate(seen):
            self._check()
            state, moved = layer.state[places], layer.state[places] - before[places]
            nearest = self._nearest(state, beside=places)
            towards = self._nearest(moved, beside=places)
            like = unit(np.stack([word[layer.index] for word in words])) if words else None
            for row, place in enumerate(places):
                direction = unit(state[row])
                self.states.append(
                    State(
                        layer=layer.index,
                        position=place,
                        norm=_short(np.linalg.norm(state[row])),
                        moved=_short(np.linalg.norm(moved[row])),
                        similarity_to_start=_short(direction @ start[place]),
                        point=_numbers(points[at, row]),
                        nearest=nearest[row],
                        towards=towards[row],
                        compared=None if like is None else _numbers(like @ direction),
                        vector=_numbers(state[row]) if wanted.vectors else None,
                    )
                )

    def _word(self, index: int, word: str) -> list[FloatArray]:
        """A word's own vector after each layer, read by itself: the mean over its tokens."""
        found = self._text.spans(word, control=False, special=True)
        own = [place for place, (_, span) in enumerate(found) if span is not None]
        if not own or len(found) > MAX_TOKENS:
            raise RequestError(
                f"'compare[{index}]' comes to {len(own)} tokens; send a word.",
                param=f"compare[{index}]",
                code="invalid_value",
            )
        entering = self._model.enter([id for id, _ in found])
        return [layer.state[own].mean(axis=0) for layer in self._model.layers(entering)]

    def _look_ahead(self, layer: Layer) -> None:
        for place, scores, shares in self._scored(layer.state):
            top = _largest(scores, self._wanted.top_k)
            told = [self._candidate(id, scores, shares) for id in top]
            self._lens[place].append(Lens(layer.index, told))

    def _scored(self, state: FloatArray) -> Iterator[tuple[int, FloatArray, NDArray[np.float64]]]:
        """(position, logits, probabilities) of each wanted position."""
        places, temperature = self._wanted.positions, self._wanted.temperature
        for first in range(0, len(places), _AT_ONCE):
            self._check()
            part = list(places[first : first + _AT_ONCE])
            for place, scores in zip(part, self._model.logits(state[part]), strict=True):
                yield place, scores, _shares(scores, temperature)

    def _nearest(self, rows: FloatArray, *, beside: Sequence[int]) -> list[list[Neighbour]]:
        """The tokens whose vectors point most nearly the same way as each row, but the row's own token."""
        count = min(self._wanted.neighbours, len(self._directions) - 1)
        found: list[list[Neighbour]] = []
        for first in range(0, len(rows), _AT_ONCE) if count else ():
            self._check()
            similarity = unit(rows[first : first + _AT_ONCE]) @ self._directions.T
            for row, place in zip(similarity, beside[first : first + _AT_ONCE], strict=True):
                row[self._ids[place]] = -np.inf
                found.append(
                    [
                        Neighbour(int(id), self._text.token_text(int(id)), _short(row[id]))
                        for id in _largest(row, count)
                    ]
                )
        return found if count else [[] for _ in rows]

    def _candidate(self, id: int, scores: FloatArray, shares: NDArray[np.float64]) -> Candidate:
        id = int(id)
        return Candidate(id, self._text.token_text(id), _short(scores[id]), float(shares[id]))

    def _check(self) -> None:
        if self._stopped():
            raise Stopped


def encode(anatomy: Anatomy) -> bytes:
    """The answer as JSON, put together from pieces, so that no long step of it keeps other threads waiting."""
    fields = []
    for name in anatomy.__struct_fields__:
        value = getattr(anatomy, name)
        if isinstance(value, list):
            told = b"[" + b",".join([msgspec.json.encode(item) for item in value]) + b"]"
        else:
            told = msgspec.json.encode(value)
        fields.append(b'"%s":%s' % (name.encode(), told))
    return b"{" + b",".join(fields) + b"}"


def _pooled(after: FloatArray, vectors: bool) -> Pooled:
    vector = unit(after.mean(axis=0))
    return Pooled(_numbers(unit(after) @ vector), _numbers(vector) if vectors else None)


def _shares(scores: FloatArray, temperature: float) -> NDArray[np.float64]:
    """Probabilities, added up to 1 in float64. The limit at temperature 0 is certainty."""
    if temperature == 0:
        certain = np.zeros(len(scores))
        certain[scores.argmax()] = 1
        return certain
    exact = scores.astype(np.float64) / temperature
    shares = np.exp(exact - exact.max())
    normed: NDArray[np.float64] = shares / shares.sum()
    return normed


def _largest(row: FloatArray, count: int) -> NDArray[np.intp]:
    """The places of the `count` largest, the largest first; of equal ones the earlier."""
    count = min(count, len(row))
    limit = np.partition(row, len(row) - count)[len(row) - count]
    places = np.flatnonzero(row >= limit)
    ordered: NDArray[np.intp] = places[np.lexsort((places, -row[places]))][:count]
    return ordered


def _numbers(row: FloatArray) -> list[float]:
    numbers: list[float] = np.round(row.astype(np.float64), 7).tolist()
    return numbers


def _short(number: Any) -> float:
    return round(float(number), 7)


def _too_long(what: str, most: int) -> ContextLengthExceeded:
    return ContextLengthExceeded(
        f"Anatomy looks at {most} tokens at most; {what}. Shorten the text.", param="text"
    )
