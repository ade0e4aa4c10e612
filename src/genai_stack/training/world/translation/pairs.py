"""Sentences and their translations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..names import Draw
from . import english, french, german, spanish
from .combinations import has_heldout
from .patterns import sentence
from .sentence import Sentence

TARGETS: Mapping[str, Callable[[Sentence], str]] = {
    "fr": french.render,
    "de": german.render,
    "es": spanish.render,
}
"""The languages, by code."""


@dataclass(frozen=True)
class Pair:
    """An English sentence, a language of TARGETS, and the sentence in it."""

    text: str
    target: str
    translation: str


def drawn(draw: Draw) -> Sentence:
    """A sentence of the draw's set: with a held-out combination of words, or without any."""
    while True:
        said = sentence(draw)
        if has_heldout(said) == draw.heldout:
            return said


def pair(draw: Draw, target: str | None = None) -> Pair:
    """A sentence in English and in `target`, or in a language drawn for it."""
    target = target or draw.one(tuple(TARGETS))
    said = drawn(draw)
    return Pair(english.render(said), target, TARGETS[target](said))
