"""Questions on generative AI and on the model itself, each with one fixed answer."""

from __future__ import annotations

from .glossary import LAYER_QUESTIONS, LAYERS, TERM_QUESTIONS, TERMS
from .names import Draw
from .routes import Chat, Question, chat, user
from .system_turns import with_system


def question(draw: Draw) -> Question:
    if draw.chance(0.06):
        ask, answer = draw.wording(LAYER_QUESTIONS), LAYERS
    else:
        term, answer = TERMS[draw.number(0, len(TERMS) - 1)]
        ask = draw.wording(TERM_QUESTIONS).format(term)
    return Question("chat", {"messages": [user(ask[0].upper() + ask[1:])]}, answer)


def conversation(draw: Draw) -> Chat:
    turns = chat(question(draw))
    while draw.chance(0.3):
        turns += chat(question(draw))
    return with_system(draw, turns)
