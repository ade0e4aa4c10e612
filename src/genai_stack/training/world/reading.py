"""Questions on a passage, answered by the value alone, or by the word that it isn't stated."""

from __future__ import annotations

from .facts import Fact, Passage, passage, with_articles
from .names import Draw
from .routes import UNSTATED, Chat, Question, assistant, chat, user
from .system_turns import with_system

_FRAMES = (
    "Tell me {p}.", "Give me {p}.", "Please tell me {p}.", "I want to know {p}.", "I need {p}.",
    "Please give me {p}.",
)  # fmt: skip
ASKS = (
    "{p}\n\n{q}", "{p}\n{q}", "{p} {q}", "Text: {p}\nQuestion: {q}", "Read this: {p}\n\n{q}", "{q}\n\n{p}",
    "Passage: {p}\n\nQuestion: {q}\nAnswer:", "Answer from the text.\n\n{p}\n\n{q}", "{q}\n{p}",
    "Here is a text.\n{p}\n\n{q}", "Read the text and answer.\n\n{p}\n\n{q}", "Text: {p}\n\n{q}",
)  # fmt: skip
UNSTATED_SHARE = 0.22


def stated(draw: Draw, told: Passage) -> tuple[str, str]:
    """A question that the passage answers, and its answer."""
    fact = draw.random.choice(told.stated)
    value = str(fact.value)
    chance = draw.random.random()
    if chance < 0.2 and fact.aspect.whose:
        return with_articles(draw.wording(fact.aspect.whose).format(v=value)), fact.subject.full
    if chance < 0.27 and len(told.subjects) == 1:
        return draw.wording(told.kind.who), told.subjects[0].full
    return _asked(draw, fact), value


def unstated(draw: Draw, told: Passage) -> str:
    """A question of the passage's kind that it doesn't answer: on an aspect that isn't told, on somebody who doesn't
    come up, or for who has a value that nobody has."""
    chance = draw.random.random()
    known = {str(fact.value) for fact in told.facts} | {subject.short for subject in told.subjects}
    if told.unstated and chance < 0.6:
        return _asked(draw, draw.random.choice(told.unstated))
    fact = draw.random.choice(told.stated)
    if fact.aspect.whose and chance > 0.9:
        value = fact.aspect.make(draw)
        while value in known:
            value = fact.aspect.make(draw)
        return with_articles(draw.wording(fact.aspect.whose).format(v=value))
    other = told.kind.subject(draw)
    while other.short in known:
        other = told.kind.subject(draw)
    return _asked(draw, Fact(other, fact.aspect, None))


def _asked(draw: Draw, fact: Fact) -> str:
    name = draw.one((fact.subject.full, fact.subject.short))
    if draw.chance(0.2):
        return draw.wording(_FRAMES).format(p=fact.aspect.phrase.format(s=name))
    return with_articles(draw.wording(fact.aspect.asked).format(s=name))


def read(draw: Draw, *, missing: float = UNSTATED_SHARE) -> tuple[list[str], str, str | None]:
    """Passages, a question and its answer; None with the probability `missing`."""
    passages, told = _passages(draw)
    question, answer = (unstated(draw, told), None) if draw.chance(missing) else stated(draw, told)
    return passages, question, answer


def _passages(draw: Draw) -> tuple[list[str], Passage]:
    """One passage, now and then beside one of another kind."""
    told = passage(draw)
    if not draw.chance(0.1):
        return [told.text], told
    other = passage(draw, told=(1, 2))
    while other.kind.name == told.kind.name:
        other = passage(draw, told=(1, 2))
    return draw.random.sample([told.text, other.text], 2), told


def answer_question(draw: Draw) -> Question:
    passages, question, answer = read(draw, missing=0.0)
    return _question(passages, question, answer)


def unstated_question(draw: Draw) -> Question:
    passages, question, answer = read(draw, missing=1.0)
    return _question(passages, question, answer)


def _question(passages: list[str], question: str, answer: str | None) -> Question:
    body = {"question": question, "passages": passages}
    return Question("answer", body, answer, passage="\n\n".join(passages))


def conversation(draw: Draw) -> Chat:
    """Two to five questions on one passage, of the route's words or free ones."""
    passages, told = _passages(draw)
    asked: dict[str, str | None] = {}
    for _ in range(draw.number(2, 5)):
        if draw.chance(UNSTATED_SHARE):
            asked.setdefault(unstated(draw, told), None)
        else:
            question, answer = stated(draw, told)
            asked.setdefault(question, answer)
    (first, answer), *rest = asked.items()
    if draw.chance(0.5):
        turns = chat(_question(passages, first, answer))
    else:
        ask = draw.wording(ASKS).replace("{p}", "\n\n".join(passages)).replace("{q}", first)
        turns = with_system(draw, [user(ask), assistant(answer or UNSTATED)])
    for question, answer in rest:
        turns += [user(question), assistant(answer or UNSTATED)]
    return turns
