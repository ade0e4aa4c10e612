"""Step 1: a text as tokens, each with the bytes it stands for. Nothing of the text gets lost.

A byte-level vocabulary spells every byte, so that the pieces' lengths say where each lies; a character may well be
spread over several. A vocabulary that changes the text first (an encoder's lower case) is asked which characters each
token came from. What lies between is `skipped`; tokens and skipped parts in order are the text, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from ...protocol.anatomy import Skipped, Token
from ..text import Text

Found = list[tuple[int, tuple[int, int] | None]]


def cut(text: Text, written: str, *, control: bool, special: bool) -> tuple[list[Token], list[Skipped]]:
    """`control` reads control tokens in `written` as such, `special` adds what the model wants around a text."""
    found = text.spans(written, control=control, special=special)
    data = written.encode()
    places = iter(_places(text, written, data, found))
    tokens, end = [], 0
    for position, (id, span) in enumerate(found):
        start, end = (end, end) if span is None else next(places)
        part = data[start:end]
        shown = part.decode(errors="replace")
        tokens.append(
            Token(position, id, text.token_text(id), shown, list(part), start, end, added=span is None)
        )
    return tokens, list(_gaps(tokens, data))


def _places(text: Text, written: str, data: bytes, found: Found) -> Sequence[tuple[int, int]]:
    """Bytes [start, end) of each token that isn't added, in order and without overlap."""
    own = [(text.token_bytes(id), span) for id, span in found if span is not None]
    spelt = b"".join(piece for piece, _ in own)
    for before in (b"", b" "):  # some vocabularies put a space before the first word
        if spelt == before + data:
            ends = [max(0, end - len(before)) for end in accumulate(len(piece) for piece, _ in own)]
            return list(zip([0, *ends], ends, strict=False))
    offsets = [0, *accumulate(len(character.encode()) for character in written)]
    places, last = [], 0
    for _, (first, past) in own:
        start = max(last, offsets[first])
        last = max(start, offsets[past])
        places.append((start, last))
    return places


def _gaps(tokens: Sequence[Token], data: bytes) -> Iterator[Skipped]:
    at = 0
    for start, end in [*((t.start, t.end) for t in tokens), (len(data), len(data))]:
        if start > at:
            yield Skipped(at, start, data[at:start].decode())
        at = max(at, end)
