"""One task, from its request to its answer."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..protocol.task_replies import (
    Answer,
    Assistance,
    Classification,
    Extraction,
    Rewriting,
    Summary,
    TaskReply,
    Translation,
)
from ..protocol.tasks import (
    AnswerRequest,
    AssistantRequest,
    ClassifyRequest,
    ExtractRequest,
    RewriteRequest,
    SummarizeRequest,
    TranslateRequest,
)
from ..task_prompts import Prompt, Task
from .answer import answer
from .assistant import assist
from .classify import classify
from .extract import extract
from .model import Model, Tell, TooLong
from .remembering import Memory
from .sources import Search
from .texts import rewrite, summarize, translate

PREFIX = "/v1/tasks/"
KINDS: dict[Task, type[Any]] = {
    "summarize": SummarizeRequest,
    "answer": AnswerRequest,
    "classify": ClassifyRequest,
    "translate": TranslateRequest,
    "extract": ExtractRequest,
    "rewrite": RewriteRequest,
}
ROUTES: dict[str, Task] = {f"{PREFIX}{task}": task for task in KINDS}


ASSISTANT = f"{PREFIX}assistant"


def new_id() -> str:
    return f"task_{secrets.token_hex(12)}"


async def run(
    model: Model,
    prompt: Prompt,
    request: Any,
    *,
    id: str,
    tell: Tell | None = None,
    search: Search | None = None,
) -> TaskReply:
    """`request` is one of KINDS; `tell` is given the text as it comes, where the task streams. Raises RequestError for
    what the model's context or form rules out, and what the model's host raises; `model` knows what was used."""
    try:
        return await _RUNS[type(request)](model, prompt, request, id, tell, search)
    except TooLong as error:
        raise error.error from None


async def run_assistant(
    model: Model,
    prompt: Prompt,
    answering: Prompt,
    request: AssistantRequest,
    memory: Memory,
    *,
    id: str,
    conversation: str | None,
    tell: Tell | None = None,
    search: Search | None = None,
) -> Assistance:
    """The same for the assistant; `answering` is the prompt of `answer`."""
    try:
        question, made = await assist(model, prompt, answering, request, memory, tell, search)
    except TooLong as error:
        raise error.error from None
    return Assistance(
        id, model.name, question, made.found, made.answer, made.citations, made.confidence, made.finish,
        made.pieces, conversation, model.usage,
    )  # fmt: skip


Run = Callable[[Model, Prompt, Any, str, Tell | None, Search | None], Awaitable[TaskReply]]


async def _summary(
    model: Model, prompt: Prompt, request: Any, id: str, tell: Tell | None, _: Search | None
) -> Summary:
    made = await summarize(model, prompt, request, tell)
    return Summary(id, model.name, made.text, made.finish, made.pieces, model.usage)


async def _translation(
    model: Model, prompt: Prompt, request: Any, id: str, tell: Tell | None, _: Search | None
) -> Translation:
    made = await translate(model, prompt, request, tell)
    return Translation(id, model.name, request.target, made.text, made.finish, made.pieces, model.usage)


async def _rewriting(
    model: Model, prompt: Prompt, request: Any, id: str, tell: Tell | None, _: Search | None
) -> Rewriting:
    made = await rewrite(model, prompt, request, tell)
    return Rewriting(id, model.name, made.text, made.finish, made.pieces, model.usage)


async def _classification(
    model: Model, prompt: Prompt, request: Any, id: str, _tell: Tell | None, _: Search | None
) -> Classification:
    made = await classify(model, prompt, request)
    return Classification(id, model.name, made.label, made.labels, made.scores, made.pieces, model.usage)


async def _extraction(
    model: Model, prompt: Prompt, request: Any, id: str, _tell: Tell | None, _: Search | None
) -> Extraction:
    made = await extract(model, prompt, request)
    return Extraction(id, model.name, made.data, made.pieces, model.usage)


async def _answer(
    model: Model, prompt: Prompt, request: Any, id: str, tell: Tell | None, search: Search | None
) -> Answer:
    made = await answer(model, prompt, request, tell, search)
    return Answer(
        id, model.name, made.found, made.answer, made.citations, made.confidence, made.finish, made.pieces,
        model.usage,
    )  # fmt: skip


_RUNS: Mapping[type[Any], Run] = {
    SummarizeRequest: _summary,
    TranslateRequest: _translation,
    RewriteRequest: _rewriting,
    ClassifyRequest: _classification,
    ExtractRequest: _extraction,
    AnswerRequest: _answer,
}
