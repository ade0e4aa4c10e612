"""The words the translator knows, read from the tables beside this module."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Form:
    """A noun in one language. `special`: French h aspiré, or a Spanish feminine that takes `el`."""

    one: str
    gender: str
    many: str
    oblique: str
    special: bool = False


@dataclass(frozen=True)
class Noun:
    en: str
    en_many: str
    kinds: frozenset[str]
    mass: bool
    fr: Form
    de: Form
    es: Form


@dataclass(frozen=True)
class Adjective:
    """`fr` is masculine, feminine, masculine plural, masculine before a vowel; `es` masculine and its plural."""

    en: str
    en_more: str
    kinds: tuple[str, ...]
    fr: tuple[str, str, str, str]
    before: bool
    de: str
    de_stem: str
    de_more: str
    es: tuple[str, str]
    estar: bool


@dataclass(frozen=True)
class Verb:
    """`fr`: infinitive, je, il, nous, ils, participle, future stem. `de`: infinitive, ich, er, past er, past sie.
    `es`: infinitive, four of the present, four of the past, future stem."""

    en: str
    en_past: str
    fr: tuple[str, ...]
    de: tuple[str, ...]
    es: tuple[str, ...]
    doers: tuple[str, ...]
    things: tuple[str, ...]
    marks: frozenset[str]


@dataclass(frozen=True)
class Phrase:
    en: str
    fr: str
    de: str
    es: str


def _table(name: str) -> Mapping[str, Any]:
    return tomllib.loads((files(__package__) / f"{name}.toml").read_text(encoding="utf-8"))


def _lines(table: str) -> Iterator[list[str]]:
    for line in table.strip().splitlines():
        yield [cell.strip() for cell in line.split("|")]


def _words(cell: str) -> list[str]:
    return [word.replace("_", " ") for word in cell.split()]


def _english_plural(word: str) -> str:
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "ch", "sh")) else "s")


def _french_plural(word: str) -> str:
    if word.endswith(("s", "x", "z")):
        return word
    if word.endswith("al"):
        return word[:-2] + "aux"
    return word + ("x" if word.endswith(("au", "eu")) else "s")


def _spanish_plural(word: str) -> str:
    if word.endswith("z"):
        return word[:-1] + "ces"
    return word + ("s" if word[-1] in "aeiouáéó" else "es")


def _form(cell: str, plural: Any) -> Form:
    one, gender, *rest = _words(cell)
    special, one = one.startswith("*"), one.removeprefix("*")
    many = rest[0] if rest else plural(one)
    return Form(one, gender, many, rest[1] if len(rest) > 1 else one, special)


def _nouns() -> Iterator[Noun]:
    table = _table("nouns")
    groups = {group: words.split() for group, words in table["groups"].items()}
    for kind, block in table["nouns"].items():
        for en, fr, de, es in _lines(block):
            one, _, many = en.partition("/")
            kinds = frozenset({kind, *(group for group, words in groups.items() if one in words)})
            yield Noun(
                one,
                many or _english_plural(one),
                kinds,
                kind in table["mass"],
                _form(fr, _french_plural),
                _form(de, lambda word: word),
                _form(es, _spanish_plural),
            )


def _adjectives() -> Iterator[Adjective]:
    for en, fr, de, es, kinds in _lines(_table("adjectives")["adjectives"]):
        word, *more = _words(en)
        m, *rest = _words(fr.removeprefix("^"))
        f, many, vowel = (rest + [""] * 3)[:3]
        german, *changes = de.split()
        stem = next((change for change in changes if not change.startswith("+")), german)
        compared = next((change[1:] for change in changes if change.startswith("+")), stem + "er")
        spanish, *marks = es.split()
        plural = next((mark for mark in marks if mark != "!"), _spanish_plural(spanish))
        yield Adjective(
            word,
            more[0] if more else "",
            tuple(kinds.split()),
            (m, f or (m if m.endswith("e") else m + "e"), many or _french_plural(m), vowel or m),
            fr.startswith("^"),
            german,
            stem,
            compared,
            (spanish, plural),
            "!" in marks,
        )


def _french_verb(infinitive: str, *rest: str) -> tuple[str, ...]:
    if rest:
        return (infinitive, *rest)
    stem = infinitive[:-2]
    soft = {"g": stem + "e", "c": stem[:-1] + "ç"}.get(stem[-1], stem)
    return (infinitive, stem + "e", stem + "e", soft + "ons", stem + "ent", stem + "é", infinitive)


def _german_verb(infinitive: str, present: str = "", past: str = "") -> tuple[str, ...]:
    if present:
        return (infinitive, *present.split(","), *past.split(","))
    stem = infinitive.removesuffix("en")
    link = "e" if stem.endswith(("t", "d", "chn", "ffn")) else ""
    return (infinitive, stem + "e", stem + link + "t", stem + link + "te", stem + link + "ten")


def _spanish_verb(infinitive: str, present: str = "-", past: str = "-", future: str = "") -> tuple[str, ...]:
    stem, ending = infinitive[:-2], infinitive[-2:]
    first = stem
    if ending == "ar":
        swap = {"c": "qu", "g": "gu", "z": "c"}.get(stem[-1])
        first = stem[:-1] + swap if swap else stem
    a, we = {"ar": ("a", "amos"), "er": ("e", "emos")}.get(ending, ("e", "imos"))
    now = (stem + "o", stem + a, stem + we, stem + a + "n")
    then = (
        (first + "é", stem + "ó", stem + "amos", stem + "aron")
        if ending == "ar"
        else (stem + "í", stem + "ió", stem + "imos", stem + "ieron")
    )
    return (
        infinitive,
        *(now if present == "-" else present.split(",")),
        *(then if past == "-" else past.split(",")),
        future or infinitive,
    )


def _verbs(block: str) -> tuple[Verb, ...]:
    found = []
    for en, fr, de, es, *rest in _lines(_table("verbs")[block]):
        word, *past = _words(en)
        doers, things, marks = (rest + [""] * 3)[:3]
        found.append(
            Verb(
                word,
                past[0] if past else "",
                _french_verb(*fr.split()),
                _german_verb(*de.split()),
                _spanish_verb(*es.split()),
                tuple(doers.split()),
                tuple(things.split()),
                frozenset(marks.split()),
            )
        )
    return tuple(found)


def _phrases(block: str) -> tuple[Phrase, ...]:
    return tuple(Phrase(*cells) for cells in _lines(_table("phrases")[block]))


NOUNS = tuple(_nouns())
ADJECTIVES = tuple(_adjectives())
TRANSITIVE, GIVING, DOING, GOING, MODALS = map(_verbs, ("transitive", "giving", "doing", "going", "modals"))
NUMBERS, TIMES, PRESENT_TIMES, PAST_TIMES, FUTURE_TIMES, FREQUENCIES, PREPOSITIONS = map(
    _phrases,
    ("numbers", "times", "present_times", "past_times", "future_times", "frequencies", "prepositions"),
)


@cache
def of_kinds(*kinds: str) -> tuple[Noun, ...]:
    """The nouns of any of `kinds`, in the table's order."""
    return tuple(noun for noun in NOUNS if not noun.kinds.isdisjoint(kinds))
