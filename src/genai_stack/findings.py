"""What `genai-stack doctor` finds out: one line each, with what to do next."""

from __future__ import annotations

from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """`warn`: it may go well, or nobody could tell. `fail`: something that was asked for can't work. `next` says what
    to do; nothing where all is well."""

    topic: str
    state: Literal["ok", "warn", "fail"]
    found: str
    next: str = ""
