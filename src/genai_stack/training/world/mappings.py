"""A mapping made up on the spot and shown by examples, which alone tell what is wanted."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from itertools import combinations

from .facts import with_articles
from .kinds import day
from .names import ANIMALS, COLOURS, DAYS, FOODS, FRUITS, MONTHS, OBJECTS, WORDS, Draw
from .opinions import BAD, GOOD
from .people import HOBBIES, JOBS, LANGUAGES, VEHICLES
from .routes import Chat, Question, assistant, chat, user

CLASSES = {
    "animals": ANIMALS, "fruits": FRUITS, "colours": COLOURS, "objects": OBJECTS, "foods": FOODS, "jobs": JOBS,
    "hobbies": HOBBIES, "days": DAYS, "months": MONTHS, "vehicles": VEHICLES, "languages": LANGUAGES,
}  # fmt: skip
_SHARED = {("fruits", "colours"), ("colours", "fruits"), ("fruits", "foods"), ("foods", "fruits")}
"""Pairs that are hard to tell apart: an orange is both."""
INTROS = (
    "Continue.", "Do the same.", "Follow the examples.", "Complete the last line.", "Go on in the same way.",
    "What comes next?", "Finish the list.", "Fill in the last one.", "Continue in the same way.",
    "Complete the list.",
)  # fmt: skip
_SENTENCES = (
    "{n} bought a {c} {i}.", "{n} sold the {c} {i}.", "The {c} {i} belongs to {n}.", "{n} has a {c} {i}.",
    "A {c} {i} was found by {n}.", "{n} lost the {c} {i}.", "{n} wants the {c} {i}.",
    "{n} got the {c} {i} as a present.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mapping:
    """`pairs` draws so many examples, and the question last, all different."""

    name: str
    pairs: Callable[[Draw, int], list[tuple[str, str]]]


def _distinct(draw: Draw, count: int, make: Callable[[Draw], tuple[str, str]]) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    while len(found) < count:
        given, output = make(draw)
        found.setdefault(given, output)
    return list(found.items())


def _labelled(
    draw: Draw, count: int, makers: list[Callable[[Draw], str]], labels: list[str]
) -> list[tuple[str, str]]:
    """Inputs of two or three classes under their labels; from as many examples on as there are classes, each class
    comes up before the question."""
    kinds = list(range(len(makers)))
    order = draw.random.sample(kinds, len(kinds))
    while len(order) < count - 1:
        order.append(draw.random.choice(kinds))
    order = [*draw.random.sample(order[: count - 1], count - 1), draw.random.choice(kinds)]
    found: dict[str, str] = {}
    for kind in order:
        given = makers[kind](draw)
        while given in found:
            given = makers[kind](draw)
        found[given] = labels[kind]
    return list(found.items())


def _labels(draw: Draw, count: int) -> list[str]:
    """Invented words, in training also letters and words that have nothing to do with it."""
    if draw.heldout or draw.chance(0.5):
        found = [draw.invented() for _ in range(count)]
    elif draw.chance(0.5):
        found = draw.some("ABCDEFGHXYZ", count)
    else:
        found = draw.some(
            ("yes", "no", "left", "right", "one", "two", "up", "down", "stop", "go", "king", "queen"), count
        )
    return found if len(set(found)) == count else _labels(draw, count)


def _classes(draw: Draw, count: int) -> list[tuple[str, str]]:
    known = [name for name, members in CLASSES.items() if len(members) > count]
    names = draw.some(known, 2 if draw.chance(0.75) else 3)
    while any((a, b) in _SHARED for a in names for b in names):
        names = draw.some(known, len(names))
    labels = _labels(draw, len(names))
    both = {member for a, b in combinations(names, 2) for member in {*CLASSES[a]} & {*CLASSES[b]}}
    return _labelled(draw, count, [_member(name, both) for name in names], labels)


def _member(name: str, but: Container[str]) -> Callable[[Draw], str]:
    """None of `but`: beside vehicles, a bicycle is no object."""

    def make(draw: Draw) -> str:
        while (member := draw.one(CLASSES[name])) in but:
            pass
        return member

    return make


def _sentiments(draw: Draw, count: int) -> list[tuple[str, str]]:
    """Verdicts on things, good and bad."""
    makers = [_verdict(GOOD), _verdict(BAD)]
    return _labelled(draw, count, makers, _labels(draw, 2))


def _verdict(verdicts: Sequence[str]) -> Callable[[Draw], str]:
    return lambda draw: f"The {draw.one(OBJECTS)}: {draw.wording(verdicts)}"


def _thing(draw: Draw) -> str:
    return draw.one(WORDS) if draw.chance(0.7) else draw.first_name()


def _form(draw: Draw) -> Callable[[str], str]:
    """One change of a word."""
    word = draw.invented()
    mark = draw.one(("!", "?", ".", "#", "*", "+", "~", "=", "&"))
    return draw.random.choice(
        [
            lambda text: f"[{text}]", lambda text: f"({text})", lambda text: f"<{text}>", lambda text: f'"{text}"',
            lambda text: f"{mark}{text}", lambda text: f"{text}{mark}", lambda text: f"{mark}{text}{mark}",
            lambda text: f"{word} {text}", lambda text: f"{text} {word}", lambda text: f"{text}-{word}",
            lambda text: f"{word}-{text}", lambda text: f"{text} {text}", lambda text: f"{word}: {text}",
            lambda text: f"{text} and {text}", lambda text: f"{word}({text})", lambda text: f"{text}={word}",
        ]
    )  # fmt: skip


def _forms(draw: Draw, count: int) -> list[tuple[str, str]]:
    change = _form(draw)

    def make(draw: Draw) -> tuple[str, str]:
        thing = _thing(draw)
        while not draw.has_pair(thing, change("x")):
            thing = _thing(draw)
        return thing, change(thing)

    return _distinct(draw, count, make)


def _pairs(draw: Draw, count: int) -> list[tuple[str, str]]:
    """Two words of which one is taken, or which change places."""
    between = draw.one((" ", ", ", " - ", " / ", " + "))
    how = draw.number(0, 4)
    mark = draw.one((" ", ", ", " - ", "/", "+", " = "))

    def make(draw: Draw) -> tuple[str, str]:
        first, second = draw.pair(COLOURS, OBJECTS) if draw.chance(0.5) else draw.pair(ANIMALS, FOODS)
        if draw.chance(0.3):
            first = draw.first_name()
        outputs = (
            first, second, f"{second}{between}{first}", f"{second}{mark}{first}", f"[{first}] {second}",
        )  # fmt: skip
        return f"{first}{between}{second}", outputs[how]

    return _distinct(draw, count, make)


def _slots(draw: Draw, count: int) -> list[tuple[str, str]]:
    """A sentence, of which two words are put into a form."""
    slots = draw.some(("{n}", "{c}", "{i}"), 1 if draw.chance(0.4) else 2)
    frame = draw.one(("[{0}] {1}", "{0}: {1}", "{0} | {1}", "{0} - {1}", "({0}) {1}", "{0} / {1}", "<{0}> {1}"))
    shape = slots[0] if len(slots) == 1 else frame.replace("{0}", slots[0]).replace("{1}", slots[1])
    template = draw.wording(_SENTENCES) if draw.chance(0.5) else None

    def make(draw: Draw) -> tuple[str, str]:
        colour, item = draw.pair(COLOURS, OBJECTS)
        values = {"{n}": draw.first_name(), "{c}": colour, "{i}": item}
        told, output = template or draw.wording(_SENTENCES), shape
        for place, value in values.items():
            told, output = told.replace(place, value), output.replace(place, value)
        return with_articles(told), output

    return _distinct(draw, count, make)


def _dates(draw: Draw, count: int) -> list[tuple[str, str]]:
    """A day written in another way."""
    form = draw.one(("{m} {d}", "{d}. {m}", "{d}/{m}", "{m}", "{m}-{d}", "[{m}] {d}"))

    def make(draw: Draw) -> tuple[str, str]:
        number, month = day(draw).split(" ")
        while not draw.has_pair(f"{number} {month}", form):
            number, month = day(draw).split(" ")
        return f"{number} {month}", form.replace("{d}", number).replace("{m}", month)

    return _distinct(draw, count, make)


MAPPINGS = (
    Mapping("classes", _classes), Mapping("forms", _forms), Mapping("pairs", _pairs), Mapping("slots", _slots),
    Mapping("sentiments", _sentiments), Mapping("dates", _dates),
)  # fmt: skip
_WEIGHTS = (32, 24, 14, 16, 8, 6)
ARROWS = (" -> ", " -> ", " => ", ": ", " = ")


def question(draw: Draw, shots: int) -> Question:
    """A chat with `shots` examples; without one, nothing tells what is wanted."""
    mapping = draw.random.choices(MAPPINGS, _WEIGHTS)[0]
    *examples, (given, output) = mapping.pairs(draw, shots + 1)
    if draw.chance(0.35):
        turns: Chat = []
        for said, reply in examples:
            turns += [user(said), assistant(reply)]
        return Question("chat", {"messages": [*turns, user(given)]}, output, passage=given)
    arrow = draw.one(ARROWS)
    lines = [f"{said}{arrow}{reply}" for said, reply in examples]
    told = "\n".join([*lines, f"{given}{arrow}".rstrip()])
    if draw.chance(0.7) or not examples:
        told = f"{draw.wording(INTROS)}\n\n{told}"
    return Question("chat", {"messages": [user(told)]}, output, passage=given)


def conversation(draw: Draw) -> Chat:
    """One to eight examples. Where they come as turns, the answers from the second on are learned too."""
    shots = draw.random.choices((1, 2, 3, 4, 5, 6, 8), (8, 18, 14, 30, 8, 8, 14))[0]
    return chat(question(draw, shots))
