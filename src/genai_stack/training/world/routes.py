"""Questions as the task routes take them, and the chats that the routes make of them.

The words are those of `task_prompts`,
so that the model is trained on what it will be told; a test holds both together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...protocol.languages import LANGUAGES
from ...task_prompts import filled, shipped

Turn = dict[str, Any]
Chat = list[Turn]


@dataclass(frozen=True)
class Question:
    """`body` is the JSON body of POST /v1/tasks/<task> without its model; of the task "chat" it has `messages` alone.

    `expected` is a text, None for an answer that isn't stated, the label, or the data. `facts` are the values that a
    summary has to keep, and `passage` is the text that it is all about.
    """

    task: str
    body: dict[str, Any]
    expected: Any
    facts: tuple[str, ...] = ()
    passage: str = ""


def user(text: str) -> Turn:
    return {"role": "user", "content": text}


def assistant(text: str) -> Turn:
    return {"role": "assistant", "content": text}


def chat(question: Question) -> Chat:
    """What the route tells the model, and what the model is to say."""
    if question.task == "chat":
        return [*question.body["messages"], assistant(str(question.expected))]
    return [*_ASKED[question.task](question.body), assistant(reply(question))]


def reply(question: Question) -> str:
    if question.task == "answer":
        return UNSTATED if question.expected is None else str(question.expected)
    if question.task in ("classify", "extract"):
        return json.dumps(question.expected, ensure_ascii=False)
    return str(question.expected)


def label_names(labels: Sequence[str | dict[str, str]]) -> str:
    """The labels as they stand in the prompt of `classify`, each with its description where it has one."""
    prompt = shipped("classify")
    return ", ".join(
        label
        if isinstance(label, str)
        else prompt.phrase("described", label=label["name"], description=label["description"])
        for label in labels
    )


def _answer(body: dict[str, Any]) -> Chat:
    values = {"passages": "\n\n".join(body["passages"]), "question": body["question"], "unstated": UNSTATED}
    return _told("answer", values)


def _classify(body: dict[str, Any]) -> Chat:
    ask = shipped("classify").phrase("one", labels=label_names(body["labels"]))
    return _told("classify", {"ask": ask, "text": body["text"]})


def _summarize(body: dict[str, Any]) -> Chat:
    prompt = shipped("summarize")
    values = {"length": prompt.phrase("short"), "style": prompt.phrase("prose"), "text": body["text"]}
    return _told("summarize", values)


def _extract(body: dict[str, Any]) -> Chat:
    return _told("extract", {"fields": ", ".join(body["schema"]["properties"]), "text": body["text"]})


def _translate(body: dict[str, Any]) -> Chat:
    return _told("translate", {"from": "", "target": LANGUAGES[body["target"]], "text": body["text"]})


def _told(task: Any, values: dict[str, str]) -> Chat:
    prompt = shipped(task)
    system = [{"role": "system", "content": filled(prompt.system, values)}] if prompt.system else []
    return [*system, user(filled(prompt.user, values))]


UNSTATED = shipped("answer").phrase("unstated")
_ASKED = {
    "answer": _answer,
    "classify": _classify,
    "summarize": _summarize,
    "extract": _extract,
    "translate": _translate,
}
