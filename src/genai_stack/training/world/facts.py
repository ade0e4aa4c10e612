"""Passages: subjects of one kind and what is stated of them, told as a report, a dialogue, a table or a card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .events import CONCERT, COURSE, MATCH, MEETING
from .kinds import Aspect, Kind, Subject
from .names import Draw
from .people import PATIENT, PERSON, PET, TRAVELLER
from .places import COMPANY, EATERY, TOWN, WEATHER
from .things import BOOK, ORDER, PRODUCT

KINDS = (
    PERSON, PERSON, PATIENT, TRAVELLER, PET, TOWN, WEATHER, EATERY, COMPANY, PRODUCT, ORDER, BOOK, MATCH, CONCERT,
    MEETING, COURSE,
)  # fmt: skip
"""People come up twice as often."""
_TRIES = 500
"""For values that none before them has; then all of them are drawn anew, as those before may leave none."""
FORMS = ("report", "dialogue", "table", "card")

FILLERS = (
    "More news will follow.", "That is all for now.", "Many people talk about it.", "Everyone was pleased.",
    "We will write about it again.", "This was in the news today.", "Thank you for reading.", "It is good to know.",
    "This is news for all of us.", "Please tell your friends.", "We heard it this morning.", "It was in the news.",
)  # fmt: skip
"""Sentences that state nothing."""
_OPENINGS = (
    ("Do you know {s}?", "Yes, I do."), ("I want to know more of {s}.", "Then ask me."),
    ("Have you heard of {s}?", "Yes, I have."), ("Tell me about {s}.", "What do you want to know?"),
    ("Can we talk about {s}?", "Of course."), ("I have a question about {s}.", "Yes, please."),
    ("May I ask you about {s}?", "Of course."),
)  # fmt: skip
_IGNORANT = (
    "I do not know.", "I have no idea.", "Nobody told me.", "I am not sure.", "I never heard.", "That I do not know.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fact:
    """`subject` has `value` as its `aspect`; None where the passage doesn't say."""

    subject: Subject
    aspect: Aspect
    value: str | None


@dataclass(frozen=True, slots=True)
class Passage:
    """`facts` are all aspects of all subjects, stated or not, in the order in which they are told."""

    kind: Kind
    form: str
    text: str
    subjects: Sequence[Subject]
    facts: Sequence[Fact]

    @property
    def stated(self) -> list[Fact]:
        return [fact for fact in self.facts if fact.value is not None]

    @property
    def unstated(self) -> list[Fact]:
        return [fact for fact in self.facts if fact.value is None]


def with_articles(text: str) -> str:
    """`text` with "an" before a vowel, as far as one is heard: a useful lamp."""
    return re.sub(r"\b([Aa]) (?=[aeiou])(?!use|uni)", r"\1n ", text)


def passage(
    draw: Draw,
    *,
    forms: Sequence[str] = FORMS,
    kinds: Sequence[Kind] = KINDS,
    several: float = 0.3,
    told: tuple[int, int] = (2, 4),
    telling: bool = False,
) -> Passage:
    """A fresh passage about one subject of which `told` aspects are stated, or (with the probability `several`, and
    always in a table) about two or three of which one or two are. `telling` states the kind's first aspect, which
    shows what kind it is."""
    kind = kinds[draw.number(0, len(kinds) - 1)]
    form = draw.random.choices(("report", "dialogue", "table", "card"), (55, 20, 15, 10))[0]
    while form not in forms:
        form = draw.one(forms)
    many = form == "table" or (form == "report" and draw.chance(several))
    subjects = _subjects(draw, kind, draw.number(2, 3 if form == "table" else 2) if many else 1)
    low, high = (1, 2) if many else told
    chosen = draw.random.sample(list(kind.aspects), draw.number(low, high))
    if telling and kind.aspects[0] not in chosen:
        chosen[0] = kind.aspects[0]
    if form == "table" and len(chosen) == 1:
        chosen.append(draw.random.choice([other for other in kind.aspects if other not in chosen]))
    made = _values(draw, kind, subjects, chosen)
    if many:
        gap = 0.12 if form == "table" else 0.25
        made = [
            fact if at == 0 or not draw.chance(gap) else Fact(fact.subject, fact.aspect, None)
            for at, fact in enumerate(made)
        ]
    text = with_articles(_FORMS[form](draw, kind, subjects, chosen, made))
    rest = [Fact(s, a, None) for s in subjects for a in kind.aspects if a not in chosen]
    return Passage(kind, form, text, subjects, [*made, *rest])


def _subjects(draw: Draw, kind: Kind, count: int) -> list[Subject]:
    found: list[Subject] = []
    while len(found) < count:
        subject = kind.subject(draw)
        if all(subject.short != other.short for other in found):
            found.append(subject)
    return found


def _values(draw: Draw, kind: Kind, subjects: Sequence[Subject], chosen: Sequence[Aspect]) -> list[Fact]:
    """No value comes twice, and none is a subject."""
    used = {name for subject in subjects for name in (subject.full, subject.short)}
    made = []
    by_key = {aspect.keys[0]: aspect for aspect in chosen}
    paired = kind.pair is not None and all(key in by_key for key in kind.pair)
    for subject in subjects:
        for _ in range(_TRIES):
            values = {aspect.keys[0]: aspect.make(draw) for aspect in chosen}
            fresh = list(values.values())
            if len(set(fresh)) < len(fresh) or not used.isdisjoint(fresh):
                continue
            if not paired or kind.pair is None or draw.has_pair(*(values[key] for key in kind.pair)):
                break
        else:
            return _values(draw, kind, subjects, chosen)
        used.update(fresh)
        made += [Fact(subject, aspect, values[aspect.keys[0]]) for aspect in chosen]
    return made


def sentence(template: str, subject: str, pronoun: str | None, value: str) -> str:
    text = template.replace("{S}", pronoun or subject).replace("{s}", subject).replace("{v}", value)
    return text[0].upper() + text[1:]


def _report(
    draw: Draw, kind: Kind, subjects: Sequence[Subject], chosen: Sequence[Aspect], facts: Sequence[Fact]
) -> str:
    stated = [fact for fact in facts if fact.value is not None]
    if len(subjects) > 1 and draw.chance(0.4):
        stated = draw.random.sample(stated, len(stated))
    seen: list[Subject] = []
    sentences = []
    for fact in stated:
        told = fact.subject
        name, pronoun = told.short, None
        if told not in seen:
            name = told.full
        elif len(subjects) == 1 and draw.chance(0.5):
            pronoun = told.pronoun
        seen.append(told)
        sentences.append(sentence(draw.wording(fact.aspect.told), name, pronoun, str(fact.value)))
    if draw.chance(0.3):
        sentences.insert(draw.number(1, len(sentences)), draw.wording(FILLERS))
    return " ".join(sentences)


def _dialogue(
    draw: Draw, kind: Kind, subjects: Sequence[Subject], chosen: Sequence[Aspect], facts: Sequence[Fact]
) -> str:
    """Two people talk about the subject; now and then one doesn't know something."""
    subject = subjects[0]
    asks, knows = draw.first_name(), draw.first_name()
    while knows == asks or subject.short in (asks, knows):
        asks, knows = draw.first_name(), draw.first_name()
    lines = []
    if draw.chance(0.5):
        said, reply = draw.wording(_OPENINGS)
        lines += [(asks, said.format(s=subject.full)), (knows, reply)]
    for fact in facts:
        name = subject.short if lines else subject.full
        if draw.chance(0.6) or not lines:
            lines.append((asks, draw.wording(fact.aspect.asked).format(s=name)))
        pronoun = subject.pronoun if draw.chance(0.4) else None
        lines.append((knows, sentence(draw.wording(fact.aspect.told), subject.short, pronoun, str(fact.value))))
    others = [aspect for aspect in kind.aspects if aspect not in chosen]
    if others and draw.chance(0.2):
        aspect = draw.random.choice(others)
        lines += [(asks, draw.wording(aspect.asked).format(s=subject.short)), (knows, draw.wording(_IGNORANT))]
    merged: list[tuple[str, str]] = []
    for who, said in lines:
        if merged and merged[-1][0] == who:
            merged[-1] = (who, f"{merged[-1][1]} {said}")
        else:
            merged.append((who, said))
    return "\n".join(f"{who}: {said}" for who, said in merged)


def _table(
    draw: Draw, kind: Kind, subjects: Sequence[Subject], chosen: Sequence[Aspect], facts: Sequence[Fact]
) -> str:
    rows = [[kind.keys[0], *(aspect.keys[0] for aspect in chosen)]]
    for subject in subjects:
        rows.append([subject.full, *(fact.value or "-" for fact in facts if fact.subject is subject)])
    between = draw.one((" | ", " | ", ", ", "; ", " | "))
    return "\n".join(between.join(row) for row in rows)


def _card(
    draw: Draw, kind: Kind, subjects: Sequence[Subject], chosen: Sequence[Aspect], facts: Sequence[Fact]
) -> str:
    between, joint = draw.one(("\n", "\n", ", ", "; ")), draw.one((": ", ": ", " = ", " - "))
    pairs = [
        (kind.keys[0], subjects[0].full),
        *((fact.aspect.keys[0], str(fact.value)) for fact in facts),
    ]
    return between.join(f"{key}{joint}{value}" for key, value in pairs)


_FORMS = {"report": _report, "dialogue": _dialogue, "table": _table, "card": _card}
