"""Many questions through the API, some at a time, and each answer marked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import EngineFailed

if TYPE_CHECKING:
    from ..client.service import AsyncService
    from ..training.world.questions import Question
    from .marking import Mark

IN_FLIGHT = 16
TRIES = 6
"""Of a request that is told to come again."""
CHAT_TOKENS = 256
"""An answer to a chat is cut off here; a task's by the route's own rule."""


@dataclass(frozen=True)
class Series:
    """Questions of one kind to one model; `marks` by the name of what they measure."""

    name: str
    model: str
    questions: Sequence[Question]
    marks: Mapping[str, Mark]


class Answered(msgspec.Struct, frozen=True):
    """`said` is None where nothing was, or the answer isn't stated; `error` is why a request failed, and then nothing
    is right. `body` is what the route was sent, but for the model and the temperature."""

    series: str
    model: str
    task: str
    body: dict[str, Any]
    expected: Any
    facts: tuple[str, ...]
    said: Any
    right: dict[str, bool]
    error: str | None = None


async def ask_all(
    service: AsyncService,
    series: Sequence[Series],
    *,
    in_flight: int = IN_FLIGHT,
    told: Callable[[Answered], None] = lambda _: None,
) -> list[Answered]:
    """Every answer in the order of the questions, `in_flight` of them asked at a time, at temperature 0; `told` hears
    of each as it comes. A request that the API refuses, or that it fails at more than a few times, is a wrong answer.
    Raises openai's NotFoundError for a model that isn't there, and APIConnectionError when the API goes away."""
    client = service.openai
    client.max_retries = TRIES - 1
    for model in dict.fromkeys(each.model for each in series):
        await client.models.retrieve(model)
    waiting = enumerate((each, question) for each in series for question in each.questions)
    answers: dict[int, Answered] = {}

    async def work(waiting: Iterator[tuple[int, tuple[Series, Question]]]) -> None:
        for number, (each, question) in waiting:
            answers[number] = await _ask(service, each, question)
            told(answers[number])

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(work(waiting))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [answers[number] for number in sorted(answers)]


async def _ask(service: AsyncService, series: Series, question: Question) -> Answered:
    from openai import APIConnectionError, APIError, APITimeoutError

    found, error = None, None
    try:
        found = await said(service, series.model, question)
    except (APIError, EngineFailed) as failure:
        if isinstance(failure, APIConnectionError) and not isinstance(failure, APITimeoutError):
            raise
        error = failure.message
    right = {name: error is None and mark(question, found) for name, mark in series.marks.items()}
    return Answered(
        series.name,
        series.model,
        question.task,
        question.body,
        question.expected,
        question.facts,
        found,
        right,
        error,
    )


async def said(service: AsyncService, model: str, question: Question) -> Any:
    """What `model` answers: the text, the label or the data; None where it says that the passage doesn't tell. Raises
    what `openai` raises."""
    if question.task == "chat":
        completion: Any = await service.openai.chat.completions.create(
            model=model, temperature=0, max_tokens=CHAT_TOKENS, **question.body
        )
        return completion.choices[0].message.content
    reply = await getattr(service, question.task)(model=model, temperature=0, **question.body)
    return getattr(reply, _SAID[question.task])


_SAID = {
    "answer": "answer",
    "classify": "label",
    "extract": "data",
    "summarize": "summary",
    "translate": "translation",
}
"""Where each task's reply has it; `answer` is null where it wasn't found."""
