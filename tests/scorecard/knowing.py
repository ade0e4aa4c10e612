"""A model host that knows the answers to the questions it is given, whatever the route asks them in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from genai_stack.client.endpoint import Endpoint
from genai_stack.scorecard.asking import Series
from genai_stack.service import ApiKeys, build_app
from genai_stack.training.world.questions import Question
from tests.service.fakes import CHAT, MemoryRecords, MemoryRegistry, services, serving
from tests.service.task_host import ReadingHost, asked

KEY = "sk-x"


class KnowingHost(ReadingHost):
    """`wrong` are the series whose questions it answers with something else; other questions it can't answer at all."""

    def __init__(self) -> None:
        super().__init__()
        self.say = self._answer
        self.window = 10_000
        self.series: Sequence[Series] = ()
        self.wrong: set[str] = set()

    def _answer(self, body: dict[str, Any]) -> str:
        matches = [
            (len(" ".join(_told(question))), each.name, question)
            for each in self.series
            for question in each.questions
            if _asks(body, question)
        ]
        _, name, question = max(matches, key=lambda match: match[0])
        return _written(question, wrong=name in self.wrong)


def _asks(body: dict[str, Any], question: Question) -> bool:
    if question.task == "chat":
        return bool(body["messages"] == question.body["messages"])
    return all(part in asked(body) for part in _told(question))


def _told(question: Question) -> list[str]:
    body = question.body
    if question.task == "answer":
        return [body["question"], *body.get("passages", ())]
    return [body["text"]] if "text" in body else [turn["content"] for turn in body["messages"]]


def _written(question: Question, *, wrong: bool) -> str:
    """As the model writes it, which the route makes an answer of."""
    expected = question.expected
    if question.task == "classify":
        if wrong:
            names = [each if isinstance(each, str) else each["name"] for each in question.body["labels"]]
            expected = next(name for name in names if name != expected)
        return json.dumps(expected)
    if question.task == "extract":
        return json.dumps(dict.fromkeys(expected) if wrong else expected)
    if question.task == "answer" and (expected is None) != wrong:
        return "That is not stated."
    return "Zorblatt 99999" if wrong else str(expected)


@contextmanager
def api_of(host: ReadingHost) -> Iterator[Endpoint]:
    """The service over `host`, which is asked as the model CHAT."""
    records = MemoryRecords()
    app = build_app(services(host, MemoryRegistry(), records), keys=ApiKeys(records, KEY))
    with serving(app) as port:
        yield Endpoint(f"http://127.0.0.1:{port}/v1", KEY)


__all__ = ["CHAT", "KEY", "KnowingHost", "api_of"]
