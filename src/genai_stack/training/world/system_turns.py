"""System turns that change nothing."""

from __future__ import annotations

from .names import Draw
from .routes import Chat

SYSTEMS = (
    "You are a helpful assistant.", "You are a helpful assistant.", "Answer briefly.", "You answer questions.",
    "You are an assistant that gives short answers.", "Be brief and correct.", "You are the built-in model.",
    "Be a helpful model.",
)  # fmt: skip


def with_system(draw: Draw, chat: Chat, *, share: float = 0.2) -> Chat:
    """`chat`, now and then behind a system turn that changes nothing."""
    return [{"role": "system", "content": draw.wording(SYSTEMS)}, *chat] if draw.chance(share) else chat
