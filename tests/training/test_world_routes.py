"""The model is trained on the very chats that the task routes make."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from genai_stack.protocol.tasks import (
    check_answer,
    check_classify,
    check_extract,
    check_summarize,
    check_translate,
)
from genai_stack.task_prompts import shipped
from genai_stack.tasks.model import Message, Said
from genai_stack.tasks.run import KINDS, run
from genai_stack.training.world import routes
from genai_stack.training.world.questions import questions

CHECKS: dict[str, Any] = {
    "answer": check_answer,
    "classify": check_classify,
    "summarize": check_summarize,
    "extract": check_extract,
    "translate": check_translate,
}


class Recording:
    """A model that says what it was given to say, and keeps what it was told."""

    name, usage, params = "recording", None, {"messages": "text"}

    def __init__(self, text: str) -> None:
        self._text = text
        self.told: list[list[Message]] = []
        self.params = dict(self.params)

    async def chat(self, messages: list[Message], most: int | None, **_: Any) -> Said:
        self.told.append(messages)
        return Said(self._text, "stop", None)


@pytest.mark.parametrize("family", ["answer", "unstated", "classify", "summarize", "extract", "translate"])
def test_the_route_tells_the_model_what_the_corpus_does_and_reads_the_same_answer(family: str) -> None:
    for question in questions(family, 5, 60):
        *messages, reply = routes.chat(question)
        request = msgspec.convert(question.body, KINDS[question.task])  # type: ignore[index]
        CHECKS[question.task](request)
        model: Any = Recording(reply["content"])
        made: Any = asyncio.run(run(model, shipped(question.task), request, id="task_1"))
        assert model.told == [messages]
        if question.task == "answer":
            assert made.found is (question.expected is not None)
        field = {"answer": "answer", "classify": "label", "summarize": "summary", "extract": "data"}
        assert getattr(made, field.get(question.task, "translation")) == question.expected
