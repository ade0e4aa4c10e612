"""The pairs of words a sentence puts together: some of them are kept out of training."""

from __future__ import annotations

from collections.abc import Iterator

from ..names import is_heldout
from .sentence import (
    Action,
    AskingWhere,
    AskingWho,
    Being,
    Both,
    Comparing,
    Existing,
    Liking,
    NounPhrase,
    Sentence,
    Standing,
    Who,
)


def _nouns(who: Who | None) -> tuple[str, ...]:
    if isinstance(who, Both):
        return (who.first.noun.en, who.second.noun.en)
    return (who.noun.en,) if isinstance(who, NounPhrase) else ()


def _described(*phrases: Who | None) -> Iterator[str]:
    for said in phrases:
        if isinstance(said, NounPhrase) and said.adjective:
            yield f"{said.adjective.en} {said.noun.en}"


def _pairs(first: str, *phrases: Who | None) -> Iterator[str]:
    yield from (f"{first} {noun}" for said in phrases for noun in _nouns(said))


def combinations(said: Sentence) -> tuple[str, ...]:
    """The combinations in `said`: adjective and noun, doer and verb, verb and object, thing and place."""
    found: list[str] = []
    match said:
        case Action(subject=subject, verb=verb, thing=thing, recipient=recipient, where=where):
            found += [f"{noun} {verb.en}" for noun in _nouns(subject)]
            found += _pairs(verb.en, thing, recipient, where)
            found += _described(subject, thing, recipient, where)
        case Being(subject, adjective):
            found += _pairs(adjective.en, subject)
        case Standing(subject, _, where) | Existing(subject, _, where):
            found += [*_pairs(subject.noun.en, where), *_described(subject, where)]
        case Liking(subject, thing):
            found += [*_pairs("like", thing), *_described(subject, thing)]
        case Comparing(subject, adjective, other):
            found += _pairs(adjective.en, subject, other)
        case AskingWhere(subject):
            found += [*_pairs("where", subject), *_described(subject)]
        case AskingWho(verb, _, thing):
            found += [*_pairs(verb.en, thing), *_described(thing)]
    return tuple(found)


def has_heldout(said: Sentence) -> bool:
    """Whether `said` has a combination that is kept out of every training corpus: one in ten, by its letters."""
    return any(is_heldout(combination) for combination in combinations(said))
