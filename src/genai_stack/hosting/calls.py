"""Tool calls in a model's answer: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, taken out as they come.

The engine is held to this form while it decodes (`grammar`), so the parser needs no recovery; an answer cut off by
its length leaves a call with the arguments written so far.
"""

from __future__ import annotations

import re
import secrets

import msgspec

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*"(?P<name>[^"]*)"\s*,\s*"arguments"\s*:\s*')


class CallDelta(msgspec.Struct, frozen=True):
    """Call `index` of an answer: `id` and `name` in its first delta only; `arguments` is more of its JSON text."""

    index: int
    arguments: str
    id: str | None = None
    name: str | None = None


class CallParser:
    def __init__(self) -> None:
        self._rest = ""
        self._scan: _Scan | None = None
        self._inside = False
        self.count = 0
        """Calls begun so far."""

    def feed(self, piece: str, *, last: bool) -> tuple[str, list[CallDelta]]:
        """Text outside of calls, and what was added to calls. White space between text and a call is dropped."""
        self._rest += piece
        shown, deltas = "", []
        while True:
            before = (len(self._rest), self._inside, self._scan)
            if not self._inside:
                shown += self._outside(last)
            elif self._scan is None:
                head = _HEAD.match(self._rest)
                if head:
                    self._rest, self._scan = self._rest[head.end() :], _Scan()
                    deltas.append(CallDelta(self.count, "", f"call_{secrets.token_hex(12)}", head["name"]))
                    self.count += 1
            else:
                if not self._scan.begun:
                    self._rest = self._rest.lstrip()
                taken = self._scan.take(self._rest)
                if taken:
                    deltas.append(CallDelta(self.count - 1, self._rest[:taken]))
                self._rest = self._rest[taken:]
                if self._scan.done and CLOSE in self._rest:
                    self._rest = self._rest.partition(CLOSE)[2]
                    self._inside, self._scan = False, None
            if before == (len(self._rest), self._inside, self._scan):
                return shown, deltas

    def _outside(self, last: bool) -> str:
        text, opened, rest = self._rest.partition(OPEN)
        if opened:
            self._rest, self._inside = rest, True
            return text.rstrip()
        if last and self.count and not text.strip():
            text = ""
        keep = 0 if last else _claimed(text)
        self._rest = text[len(text) - keep :]
        return text[: len(text) - keep]


class _Scan:
    """Finds the end of one JSON object."""

    def __init__(self) -> None:
        self._depth = 0
        self._string = self._escaped = False
        self.begun = self.done = False

    def take(self, text: str) -> int:
        """How many characters of `text` belong to the object."""
        if self.done:
            return 0
        self.begun = self.begun or bool(text)
        for place, character in enumerate(text):
            if self._escaped:
                self._escaped = False
            elif self._string:
                self._escaped = character == "\\"
                self._string = character != '"'
            elif character == '"':
                self._string = True
            elif character == "{":
                self._depth += 1
            elif character == "}":
                self._depth -= 1
                if not self._depth:
                    self.done = True
                    return place + 1
        return len(text)


def _claimed(text: str) -> int:
    """How much of the end of `text` may still turn out to belong to a call: white space, then part of OPEN."""
    for length in range(min(len(OPEN) - 1, len(text)), -1, -1):
        if text.endswith(OPEN[:length]):
            body = text[: len(text) - length]
            return length + len(body) - len(body.rstrip())
    return 0
