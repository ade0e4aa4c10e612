"""Sentences to translate; what they say and how is `translation`'s."""

from __future__ import annotations

from .names import Draw
from .routes import Chat, Question, assistant, chat, user
from .system_turns import with_system

ASKS = (
    "Translate to {l}: {p}", "Translate into {l}: {p}", "{p}\n\nTranslate this to {l}.", "Say this in {l}: {p}",
    "What is this in {l}?\n{p}", "{p}\nIn {l}:", "Write this in {l}: {p}", "How do you say this in {l}: {p}",
    "{l}: {p}", "{p}\n\nIn {l}, please.", "Translate this into {l}.\n\n{p}",
)  # fmt: skip
_LANGUAGES = {"fr": "French", "de": "German", "es": "Spanish"}


def question(draw: Draw) -> Question:
    from .translation import pair

    told = pair(draw)
    return Question(
        "translate", {"text": told.text, "target": told.target}, told.translation, passage=told.text
    )


def conversation(draw: Draw) -> Chat:
    """One sentence in the route's words, or up to three in free ones."""
    asked = question(draw)
    if draw.chance(0.55):
        return chat(asked)
    turns: Chat = []
    while True:
        ask = draw.wording(ASKS).replace("{l}", _LANGUAGES[asked.body["target"]]).replace("{p}", asked.passage)
        turns += [user(ask), assistant(asked.expected)]
        if draw.chance(0.5):
            return with_system(draw, turns)
        asked = question(draw)
