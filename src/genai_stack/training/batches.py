"""Rows to tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .encode import IGNORED, Encoded
from .pairs import Pair


class Collator:
    """Pads on the right to the longest row of a batch. Positions say where documents begin; with neither a mask nor a
    cache, transformers' masks keep documents apart by them. A pad is a document by itself, not learned.

    With `flat`, all rows become one without padding: flash attention tells documents apart in a single row only.
    """

    def __init__(self, pad: int, *, flat: bool = False) -> None:
        self._pad, self._flat = pad, flat

    def __call__(self, rows: list[Encoded]) -> dict[str, Any]:
        import torch

        if self._flat:
            rows = [_joined(rows)]
        width = max(len(row.ids) for row in rows)

        def padded(values: Callable[[Encoded], list[int]], fill: int) -> Any:
            return torch.tensor([values(row) + [fill] * (width - len(row.ids)) for row in rows])

        return {
            "input_ids": padded(lambda row: row.ids, self._pad),
            "labels": padded(lambda row: row.labels, IGNORED),
            "position_ids": padded(lambda row: row.positions, 0),
            "tokens": torch.tensor([len(row.ids) for row in rows]),
            "use_cache": False,
        }


def _joined(rows: list[Encoded]) -> Encoded:
    """One row of all documents; the first token of each is not learned, for another's end stands before it."""
    return Encoded(
        [id for row in rows for id in row.ids],
        [label for row in rows for label in (IGNORED, *row.labels[1:])],
        [position for row in rows for position in row.positions],
    )


class PairCollator:
    """Preference pairs as TRL's trainer takes them: the preferred sequences, then the others, in one batch."""

    def __init__(self, pad: int) -> None:
        self._pad = pad

    @staticmethod
    def row(pair: Pair) -> dict[str, list[int]]:
        """A pair as plain lists; `…_learned` is 1 for tokens of answers."""
        return {
            "chosen": pair.chosen.ids,
            "chosen_learned": [int(label != IGNORED) for label in pair.chosen.labels],
            "rejected": pair.rejected.ids,
            "rejected_learned": [int(label != IGNORED) for label in pair.rejected.labels],
        }

    def __call__(self, rows: list[dict[str, list[int]]]) -> dict[str, Any]:
        import torch

        sides = [row[side] for side in ("chosen", "rejected") for row in rows]
        learned = [row[f"{side}_learned"] for side in ("chosen", "rejected") for row in rows]
        width = max(map(len, sides))

        def padded(lists: list[list[int]], fill: int) -> Any:
            return torch.tensor([values + [fill] * (width - len(values)) for values in lists])

        return {
            "input_ids": padded(sides, self._pad),
            "attention_mask": padded([[1] * len(side) for side in sides], 0),
            "completion_mask": padded(learned, 0),
            "tokens": torch.tensor([len(side) for side in sides]),
        }
