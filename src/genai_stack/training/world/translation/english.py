"""Sentences in English."""

from __future__ import annotations

from .lexicon import Verb
from .sentence import (
    HE,
    ME,
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
    finish,
    person,
)


def _an(following: str) -> str:
    return "an" if following[0] in "aeiou" and not following.startswith(("use", "uni")) else "a"


def phrase(who: Who) -> str:
    if isinstance(who, Both):
        return f"{phrase(who.first)} and {phrase(who.second)}"
    if not isinstance(who, NounPhrase):
        return who.text
    noun = who.noun.en_many if who.many else who.noun.en
    noun = f"{who.adjective.en} {noun}" if who.adjective else noun
    number = f"{who.number.en} " if who.number else ""
    match who.determiner:
        case "some" | "all":
            return number + noun
        case "a":
            return f"{_an(noun)} {noun}"
        case "this":
            return f"{'these' if who.many else 'this'} {number}{noun}"
    return f"{who.determiner} {number}{noun}"


def _third(verb: str) -> str:
    verb, _, rest = verb.partition(" ")
    if verb == "have":
        verb = "has"
    elif verb.endswith("y") and verb[-2] not in "aeiou":
        verb = verb[:-1] + "ies"
    else:
        verb += "es" if verb.endswith(("s", "sh", "ch", "x", "o")) else "s"
    return f"{verb} {rest}".strip()


def _finite(verb: str, past: str, who: int, tense: str, negative: bool) -> str:
    if tense == "future":
        return f"will {'not ' if negative else ''}{verb}"
    if negative:
        helper = "did" if tense == "past" else "does" if who == HE else "do"
        return f"{helper} not {verb}"
    if tense == "past":
        return past
    return _third(verb) if who == HE else verb


def _modal(modal: Verb, verb: str, who: int) -> str:
    first = modal.en
    if first.startswith("want"):
        first = _third(first) if who == HE else first
    return f"{first} {verb}"


def _be(who: int, past: bool) -> str:
    if past:
        return "was" if who in (HE, ME) else "were"
    return {ME: "am", HE: "is"}.get(who, "are")


def _action(said: Action) -> str:
    who = person(said.subject)
    if said.modal:
        verb = _modal(said.modal, said.verb.en, who)
    else:
        verb = _finite(said.verb.en, said.verb.en_past, who, said.tense, said.negative)
    parts = [phrase(said.subject), said.frequency.en if said.frequency else "", verb]
    if said.thing:
        parts.append(phrase(said.thing))
    if said.recipient:
        parts.append(f"to {phrase(said.recipient)}")
    if said.where:
        parts.append(f"{said.way} {phrase(said.where)}")
    if said.when:
        parts = [f"{said.when.en},", *parts] if said.fronted else [*parts, said.when.en]
    return finish(" ".join(parts))


def render(said: Sentence) -> str:
    match said:
        case Action():
            return _action(said)
        case Being(subject, adjective, past, negative):
            verb = _be(person(subject), past) + (" not" if negative else "")
            return finish(f"{phrase(subject)} {verb} {adjective.en}")
        case Standing(subject, preposition, where, past):
            return finish(f"{phrase(subject)} {_be(person(subject), past)} {preposition.en} {phrase(where)}")
        case Existing(thing, preposition, where):
            return finish(f"there {_be(person(thing), False)} {phrase(thing)} {preposition.en} {phrase(where)}")
        case Liking(subject, thing, negative):
            verb = _finite("like", "", person(subject), "present", negative)
            return finish(f"{phrase(subject)} {verb} {phrase(thing)}")
        case Comparing(subject, adjective, other):
            return finish(
                f"{phrase(subject)} {_be(person(subject), False)} {adjective.en_more} than {phrase(other)}"
            )
        case AskingWhere(subject):
            return finish(f"where {_be(person(subject), False)} {phrase(subject)}", "?")
        case AskingWho(verb, tense, thing):
            return finish(f"who {_finite(verb.en, verb.en_past, HE, tense, False)} {phrase(thing)}", "?")
