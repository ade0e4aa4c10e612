"""Preference pairs to token ids and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .encode import Encoded, encode
from .examples import Preference


@dataclass(frozen=True)
class Pair:
    """Two sequences that begin with the same prompt, of which the first is preferred; only answers have labels."""

    chosen: Encoded
    rejected: Encoded

    def cut(self, length: int) -> Pair:
        return Pair(self.chosen.cut(length), self.rejected.cut(length))

    @property
    def learned(self) -> int:
        """Learned tokens of the side that has fewer; 0 means the pair teaches nothing."""
        return min(self.chosen.learned, self.rejected.learned)


def encode_pair(preference: Preference, tokenizer: Any) -> Pair:
    """Raises InvalidData when the chat template can't render a side."""
    return Pair(
        encode(preference.chosen, tokenizer, "answers"), encode(preference.rejected, tokenizer, "answers")
    )
