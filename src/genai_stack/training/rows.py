"""The examples of a source as the rows a trainer takes: encoded, cut to length, packed where the spec says so."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import InvalidData
from .data import read
from .encode import Encoded, encode, pack
from .examples import Preference
from .outputs import RunLog
from .pairs import Pair, encode_pair
from .spec import TrainingSpec


def rows(spec: TrainingSpec, source: str, tokenizer: Any, log: RunLog) -> list[Encoded] | list[Pair]:
    """Pairs for preferences, sequences for all else. Tells the log what was cut, and what has nothing left to learn.
    Raises InvalidData when that is everything."""
    length = spec.hyperparameters.max_length
    name = source.rstrip("/").rpartition("/")[2]
    cut = dropped = 0

    def fitting() -> Iterator[Any]:
        nonlocal cut, dropped
        for example in read(source):
            whole: Encoded | Pair = (
                encode_pair(example, tokenizer)
                if isinstance(example, Preference)
                else encode(example, tokenizer, spec.loss)
            )
            part = whole.cut(length)
            cut += part != whole
            if part.learned:
                yield part
            else:
                dropped += 1

    found = list(pack(fitting(), length) if spec.packing else fitting())
    if cut:
        log.event("cut", f"{name}: {cut} examples are cut to {length} tokens", level="warn", count=cut)
    if dropped:
        message = f"{name}: {dropped} examples have nothing left to learn"
        log.event("dropped", message, level="warn", count=dropped)
    if not found:
        raise InvalidData(f"{source}: no example keeps an answer within {length} tokens; raise max_length")
    tokens = sum(_tokens(row) for row in found)
    message = f"{name}: {len(found)} {'pairs' if spec.method == 'dpo' else 'sequences'}, {tokens} tokens"
    log.event("encoded", message, sequences=len(found), tokens=tokens)
    return found


def fingerprint(rows: Sequence[Encoded | Pair]) -> str:
    """SHA-256 over the rows in their order: equal where a run would see equal data."""
    found = hashlib.sha256()
    for row in rows:
        found.update(repr(row).encode())
    return found.hexdigest()


def _tokens(row: Encoded | Pair) -> int:
    return len(row.chosen.ids) + len(row.rejected.ids) if isinstance(row, Pair) else len(row.ids)
