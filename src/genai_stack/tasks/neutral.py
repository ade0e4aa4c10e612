"""Text that can't break out of its turn.

The model server of this repository never reads control tokens in what a user wrote; other servers (vLLM) do. So a mark
that nobody sees goes into whatever looks like one, and comes out again of what the model writes.
"""

from __future__ import annotations

import re

MARK = "\u200b"
_NAMES = (
    "s|bos|eos|pad|unk|mask|think|tool_call|tool_response|tools|start_of_turn|end_of_turn|start_of_image|"
    "start_header_id|end_header_id|eot_id|im_start|im_end|im_sep|turn|SYS|SEP|CLS"
)
_CONTROL = re.compile(
    rf"<(?:(?=[|｜]|/?<?(?:{_NAMES})\b[^<>\n]{{0,64}}>|begin_of|end_of)|(?<=<<)(?=/?SYS>>))|"
    r"\[(?=/?[A-Z][A-Z_]{1,24}\])"
)
STEP = 64 * 1024
"""Characters that are looked through at once. Other threads run between two steps, none within one."""
_AHEAD = 128
"""More than any control token has."""


def neutral(text: str) -> str:
    """`text` with MARK after the first character of whatever could be a control token."""
    found, last = [], 0
    for at in range(0, len(text), STEP):
        end = at + STEP
        for match in _CONTROL.finditer(text, at, end + _AHEAD):
            if match.start() >= end:
                break
            found += [text[last : match.end()], MARK]
            last = match.end()
    return "".join([*found, text[last:]])


def restored(text: str) -> str:
    """What a model wrote, without the marks it may have copied."""
    return text.replace(f"<{MARK}", "<").replace(f"[{MARK}", "[") if MARK in text else text


class Restoring:
    """The same for a text that comes in pieces."""

    def __init__(self) -> None:
        self._last = ""

    def fed(self, piece: str) -> str:
        clean = restored(self._last + piece)[len(self._last) :]
        self._last = (piece or self._last)[-1:]
        return clean
