"""What a sort of record is: a subject, and aspects of it that a passage may state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .names import MONTHS, Draw

Maker = Callable[[Draw], str]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """`full` is how it is told of first, `short` afterwards; `pronoun` (She, He, It) where there is one."""

    full: str
    short: str
    pronoun: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Aspect:
    """One thing to know of a subject.

    In the templates `{v}` is the value, `{s}` the subject's name and `{S}` its name or pronoun at the head of a
    sentence. `keys` name the field, the first one in tables. `phrase` is the aspect as a noun ("the age of {s}"),
    `clause` what a summary says of the subject, `whose` asks for the subject by the value.
    """

    keys: Sequence[str]
    make: Maker
    told: Sequence[str]
    asked: Sequence[str]
    phrase: str
    clause: str
    whose: Sequence[str] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """`who` asks what the passage is about; `keys` name the subject as a field. Values of the aspects in `pair` (their
    first keys) come in combinations that are either trained or held out."""

    name: str
    topic: str | None
    subject: Callable[[Draw], Subject]
    keys: Sequence[str]
    who: Sequence[str]
    aspects: Sequence[Aspect]
    pair: tuple[str, str] | None = None


_HE = ("o", "an", "en", "el", "ez", "ick", "ett")
_UNSURE = frozenset("Karen Helen Carmen Leo".split())


def person(draw: Draw) -> Subject:
    """A person with a pronoun only where the name's ending tells which."""
    first = draw.first_name()
    pronoun = None
    if first.endswith("a"):
        pronoun = "She"
    elif first.endswith(_HE) and first not in _UNSURE:
        pronoun = "He"
    return Subject(f"{first} {draw.surname()}" if draw.chance(0.5) else first, first, pronoun)


def called(make: Maker, pronoun: str | None = "It") -> Callable[[Draw], Subject]:
    """Subjects with one name."""

    def subject(draw: Draw) -> Subject:
        name = make(draw)
        return Subject(name, name, pronoun)

    return subject


def number(low: int, high: int, step: int = 1) -> Maker:
    return lambda draw: str(draw.number(low, high) * step)


def among(items: Sequence[str]) -> Maker:
    return lambda draw: draw.one(items)


def day(draw: Draw) -> str:
    """A date, always with the month: `12 May`."""
    return f"{draw.number(1, 28)} {draw.one(MONTHS)}"
