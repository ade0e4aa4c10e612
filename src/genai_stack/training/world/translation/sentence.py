"""A sentence before it is in any language: who does what to whom, where and when."""

from __future__ import annotations

from dataclasses import dataclass

from .lexicon import Adjective, Noun, Phrase, Verb

ME, HE, WE, THEY = range(4)
"""Persons of a verb, as the tables order their forms."""
PRONOUNS = ("I", "he", "she", "we", "they")
POSSESSIVES = ("my", "his", "her", "our", "their")


@dataclass(frozen=True)
class NounPhrase:
    """`determiner`: the, a, this, a possessive, `some` (no word in English: bread, apples) or `all` (the generic)."""

    noun: Noun
    determiner: str = "the"
    many: bool = False
    adjective: Adjective | None = None
    number: Phrase | None = None


@dataclass(frozen=True)
class Name:
    text: str


@dataclass(frozen=True)
class Pronoun:
    text: str


@dataclass(frozen=True)
class Both:
    first: NounPhrase
    second: NounPhrase


Who = NounPhrase | Name | Pronoun | Both


@dataclass(frozen=True)
class Action:
    """Someone does something. `tense`: present, past or future; `way`: in (a place), to or from one."""

    subject: Who
    verb: Verb
    tense: str = "present"
    modal: Verb | None = None
    thing: NounPhrase | Name | None = None
    recipient: NounPhrase | Name | None = None
    way: str = ""
    where: NounPhrase | Name | None = None
    frequency: Phrase | None = None
    when: Phrase | None = None
    fronted: bool = False
    negative: bool = False


@dataclass(frozen=True)
class Being:
    subject: NounPhrase | Both | Pronoun
    adjective: Adjective
    past: bool = False
    negative: bool = False


@dataclass(frozen=True)
class Standing:
    subject: NounPhrase
    preposition: Phrase
    where: NounPhrase
    past: bool = False


@dataclass(frozen=True)
class Existing:
    thing: NounPhrase
    preposition: Phrase
    where: NounPhrase


@dataclass(frozen=True)
class Liking:
    subject: NounPhrase | Name | Pronoun
    thing: NounPhrase
    negative: bool = False


@dataclass(frozen=True)
class Comparing:
    subject: NounPhrase
    adjective: Adjective
    other: NounPhrase


@dataclass(frozen=True)
class AskingWhere:
    subject: NounPhrase


@dataclass(frozen=True)
class AskingWho:
    verb: Verb
    tense: str
    thing: NounPhrase


Sentence = Action | Being | Standing | Existing | Liking | Comparing | AskingWhere | AskingWho


def person(who: Who) -> int:
    if isinstance(who, Pronoun):
        return {"I": ME, "we": WE, "they": THEY}.get(who.text, HE)
    if isinstance(who, Both) or (isinstance(who, NounPhrase) and who.many):
        return THEY
    return HE


def genders(who: Who, language: str) -> set[str]:
    if isinstance(who, Both):
        return genders(who.first, language) | genders(who.second, language)
    if isinstance(who, NounPhrase):
        return {getattr(who.noun, language).gender}
    return {"f" if isinstance(who, Pronoun) and who.text == "she" else "m"}


def feminine(who: Who, language: str) -> bool:
    """In French and Spanish a group is feminine when all of it is."""
    return genders(who, language) == {"f"}


def finish(words: str, mark: str = ".") -> str:
    """`words` as a sentence: one space between words, a capital first, `mark` last."""
    text = " ".join(words.split())
    return text[0].upper() + text[1:] + mark
