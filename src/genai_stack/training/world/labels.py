"""A text and the labels to choose from: topics, sentiments, intents, what a customer's letter is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from . import intents, topics
from .complaints import HELDOUT, WORDINGS, complaint
from .names import Draw
from .opinions import review
from .routes import Chat, Question, assistant, chat, label_names, user
from .system_turns import with_system

ASKS = (
    "Which label fits? {labels}.\n\n{p}", "Classify the text as one of: {labels}.\n\n{p}",
    "{p}\n\nAnswer with one word: {labels}.", "Labels: {labels}\nText: {p}\nLabel:", "Is this {or}?\n\n{p}",
    "{p}\nIs it {or}?", "What is the {what} of this text? Choose from {labels}.\n{p}",
    "Choose the {what}: {labels}.\n\n{p}", "{p}\n\nWhich {what} fits: {or}?",
    "Text: {p}\nThe {what} is one of {labels}.",
    "{p}\n\nWhich label fits? {labels}.", "Choose one label for the text: {labels}.\n\n{p}",
)  # fmt: skip
SENTIMENTS: Mapping[str, tuple[str, str]] = {
    "positive": ("good", "the writer is happy"),
    "negative": ("bad", "the writer is unhappy"),
    "neutral": ("plain", "the writer has no strong opinion"),
}
CONCERNS: Mapping[str, tuple[str, str]] = {
    "delivery": ("shipping", "where the parcel is"),
    "return": ("refund", "sending something back"),
    "payment": ("billing", "bills, cards and charges"),
    "repair": ("fault", "something is broken"),
}


def _letter(draw: Draw, concern: str) -> str:
    wordings = (HELDOUT if draw.heldout else WORDINGS)[concern]
    return complaint(draw, wordings={concern: wordings}).text


SETS: Mapping[str, tuple[Mapping[str, tuple[str, str]], Callable[[Draw, str], str]]] = {
    "topic": (topics.NAMES, topics.text),
    "sentiment": (SENTIMENTS, review),
    "intent": (intents.NAMES, intents.text),
    "concern": (CONCERNS, _letter),
}
_WEIGHTS = (40, 25, 25, 10)


def question(draw: Draw) -> Question:
    return _made(draw)[0]


def _made(draw: Draw) -> tuple[Question, str]:
    what = draw.random.choices(list(SETS), _WEIGHTS)[0]
    names, make = SETS[what]
    most = min(6, len(names))
    chosen = draw.some(list(names), draw.number(2, most))
    right = chosen[0]
    draw.random.shuffle(chosen)
    other_words = draw.chance(0.25)
    said = {name: names[name][0] if other_words else name for name in chosen}
    described = draw.chance(0.15)
    labels = [
        {"name": said[name], "description": names[name][1]} if described else said[name] for name in chosen
    ]
    text = make(draw, right)
    return Question("classify", {"text": text, "labels": labels}, said[right], passage=text), what


def conversation(draw: Draw) -> Chat:
    asked, what = _made(draw)
    if draw.chance(0.5):
        return chat(asked)
    labels = asked.body["labels"]
    listed = label_names(labels)
    parts = listed.split(", ")
    if len(parts) != len(labels):
        return chat(asked)
    words = {
        "{labels}": listed,
        "{or}": f"{', '.join(parts[:-1])} or {parts[-1]}",
        "{what}": what,
        "{p}": asked.passage,
    }
    ask = draw.wording(ASKS)
    for place, word in words.items():
        ask = ask.replace(place, word)
    return with_system(draw, [user(ask), assistant(asked.expected)])
