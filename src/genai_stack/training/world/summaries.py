"""One passage, told again in one sentence that keeps every fact and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from .facts import Fact, Passage, passage, with_articles
from .names import Draw
from .routes import Chat, Question, assistant, chat, user
from .system_turns import with_system

ASKS = (
    "Summarise: {p}", "Summarise this in one sentence.\n\n{p}", "{p}\n\nSummarise the text.", "{p}\nSummary:",
    "Give a short summary.\n{p}", "Summarize the following text: {p}", "TL;DR: {p}",
    "{p}\n\nSay this in one sentence.",
    "Sum this up: {p}", "Write one sentence that sums up the text.\n\n{p}", "{p}\n\nGive me a summary.",
    "Please summarise the text.\n\n{p}",
)  # fmt: skip


def sentence(facts: Sequence[Fact]) -> str:
    """The subject's full name and what is said of it, in the passage's order."""
    clauses = [fact.aspect.clause.replace("{v}", str(fact.value)) for fact in facts]
    told = clauses[0] if len(clauses) == 1 else f"{', '.join(clauses[:-1])} and {clauses[-1]}"
    name = facts[0].subject.full
    return with_articles(f"{name[0].upper()}{name[1:]} {told}.")


def question(draw: Draw) -> Question:
    told = _passage(draw)
    facts = (told.subjects[0].full, *(str(fact.value) for fact in told.stated))
    return Question("summarize", {"text": told.text}, sentence(told.stated), facts, told.text)


def _passage(draw: Draw) -> Passage:
    return passage(draw, forms=("report", "report", "dialogue", "card"), several=0.0, told=(1, 3))


def conversation(draw: Draw) -> Chat:
    asked = question(draw)
    if draw.chance(0.6):
        return chat(asked)
    turns = [user(draw.wording(ASKS).replace("{p}", asked.passage)), assistant(asked.expected)]
    return with_system(draw, turns)
