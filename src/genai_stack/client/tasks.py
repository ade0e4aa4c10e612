"""Ready-made tasks through the API, asked with typed options and answered with types. They raise what `openai` does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict, TypeVar, Unpack

import msgspec

from ..errors import EngineFailed
from ..protocol.task_replies import (
    Answer,
    Assistance,
    Classification,
    Extraction,
    Rewriting,
    Summary,
    TaskDelta,
    TaskReply,
    Translation,
)
from ..protocol.tasks import Length, Tone

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

Streamed = Literal["summarize", "translate", "rewrite", "answer", "assistant"]
Examples = list[dict[str, Any]]
_KINDS: dict[str, type[TaskReply]] = {
    "summarize": Summary,
    "translate": Translation,
    "rewrite": Rewriting,
    "answer": Answer,
    "assistant": Assistance,
}
R = TypeVar("R", bound=msgspec.Struct)


class TaskOptions(TypedDict, total=False):
    """What `protocol.tasks.TaskRequest` takes, and means the same. `examples` are the task's own."""

    model: str
    temperature: float
    seed: int
    max_tokens: int
    examples: Examples


class SummarizeOptions(TaskOptions, total=False):
    length: Length
    style: Literal["prose", "bullets"]


class TranslateOptions(TaskOptions, total=False):
    source: str


class RewriteOptions(TaskOptions, total=False):
    tone: Tone
    instruction: str


class ClassifyOptions(TaskOptions, total=False):
    multi_label: bool


class AnswerOptions(TaskOptions, total=False):
    """One of `passages`, `documents` ({"text", "id"?}) and `vector_store_id`."""

    passages: list[str]
    documents: list[dict[str, str]]
    vector_store_id: str
    filters: dict[str, Any]
    max_num_results: int


class AssistantOptions(AnswerOptions, total=False):
    """`conversation` is one that is remembered and gets this turn; without it a new one is made, whose id the answer
    has. `store=False` keeps nothing."""

    conversation: str
    instructions: str
    store: bool


class _Caller(Protocol):
    @property
    def openai(self) -> OpenAI: ...


class _AsyncCaller(Protocol):
    @property
    def openai(self) -> AsyncOpenAI: ...


class Tasks:
    """What `Service` has of them."""

    def summarize(self: _Caller, text: str, **options: Unpack[SummarizeOptions]) -> Summary:
        return _task(self.openai, "summarize", {"text": text, **options}, Summary)

    def translate(self: _Caller, text: str, target: str, **options: Unpack[TranslateOptions]) -> Translation:
        """`target` is a language's code, such as "fr"."""
        return _task(self.openai, "translate", {"text": text, "target": target, **options}, Translation)

    def rewrite(self: _Caller, text: str, **options: Unpack[RewriteOptions]) -> Rewriting:
        """In a `tone`, or by an `instruction`."""
        return _task(self.openai, "rewrite", {"text": text, **options}, Rewriting)

    def classify(
        self: _Caller, text: str, labels: list[str | dict[str, str]], **options: Unpack[ClassifyOptions]
    ) -> Classification:
        """A label is a name, or {"name", "description"}."""
        return _task(self.openai, "classify", {"text": text, "labels": labels, **options}, Classification)

    def extract(self: _Caller, text: str, schema: dict[str, Any], **options: Unpack[TaskOptions]) -> Extraction:
        """`schema` is a JSON Schema, which `data` of the answer fits."""
        return _task(self.openai, "extract", {"text": text, "schema": schema, **options}, Extraction)

    def answer(self: _Caller, question: str, **options: Unpack[AnswerOptions]) -> Answer:
        return _task(self.openai, "answer", {"question": question, **options}, Answer)

    def assistant(self: _Caller, question: str, **options: Unpack[AssistantOptions]) -> Assistance:
        """As `answer`, with the memory of a conversation: give the answer's `conversation` with the next question."""
        return _task(self.openai, "assistant", {"question": question, **options}, Assistance)

    def stream(self: _Caller, task: Streamed, **request: Any) -> Iterator[TaskDelta | TaskReply]:
        """The text of a task's answer as it comes, and at last the whole answer. `request` is what the route takes."""
        from openai import Stream

        events = self.openai.post(
            _path(task),
            cast_to=object,
            body={**request, "stream": True},
            stream=True,
            stream_cls=Stream[object],
        )
        with events:
            for event in events:
                yield _event(task, event)


class AsyncTasks:
    """The same for `AsyncService`."""

    async def summarize(self: _AsyncCaller, text: str, **options: Unpack[SummarizeOptions]) -> Summary:
        return await _awaited(self.openai, "summarize", {"text": text, **options}, Summary)

    async def translate(
        self: _AsyncCaller, text: str, target: str, **options: Unpack[TranslateOptions]
    ) -> Translation:
        """`target` is a language's code, such as "fr"."""
        return await _awaited(
            self.openai, "translate", {"text": text, "target": target, **options}, Translation
        )

    async def rewrite(self: _AsyncCaller, text: str, **options: Unpack[RewriteOptions]) -> Rewriting:
        """In a `tone`, or by an `instruction`."""
        return await _awaited(self.openai, "rewrite", {"text": text, **options}, Rewriting)

    async def classify(
        self: _AsyncCaller, text: str, labels: list[str | dict[str, str]], **options: Unpack[ClassifyOptions]
    ) -> Classification:
        """A label is a name, or {"name", "description"}."""
        return await _awaited(
            self.openai, "classify", {"text": text, "labels": labels, **options}, Classification
        )

    async def extract(
        self: _AsyncCaller, text: str, schema: dict[str, Any], **options: Unpack[TaskOptions]
    ) -> Extraction:
        """`schema` is a JSON Schema, which `data` of the answer fits."""
        return await _awaited(self.openai, "extract", {"text": text, "schema": schema, **options}, Extraction)

    async def answer(self: _AsyncCaller, question: str, **options: Unpack[AnswerOptions]) -> Answer:
        return await _awaited(self.openai, "answer", {"question": question, **options}, Answer)

    async def assistant(self: _AsyncCaller, question: str, **options: Unpack[AssistantOptions]) -> Assistance:
        """As `answer`, with the memory of a conversation: give the answer's `conversation` with the next question."""
        return await _awaited(self.openai, "assistant", {"question": question, **options}, Assistance)

    async def stream(
        self: _AsyncCaller, task: Streamed, **request: Any
    ) -> AsyncIterator[TaskDelta | TaskReply]:
        """The text of a task's answer as it comes, and at last the whole answer. `request` is what the route takes."""
        from openai import AsyncStream

        events = await self.openai.post(
            _path(task),
            cast_to=object,
            body={**request, "stream": True},
            stream=True,
            stream_cls=AsyncStream[object],
        )
        async with events:
            async for event in events:
                yield _event(task, event)


def _task(client: OpenAI, task: str, body: Mapping[str, Any], kind: type[R]) -> R:
    return _read(client.post(_path(task), cast_to=object, body=body), kind)


async def _awaited(client: AsyncOpenAI, task: str, body: Mapping[str, Any], kind: type[R]) -> R:
    return _read(await client.post(_path(task), cast_to=object, body=body), kind)


def _path(task: str) -> str:
    return f"/tasks/{task}"  # the base URL ends in /v1


def _event(task: str, event: Any) -> TaskDelta | TaskReply:
    if isinstance(event, dict) and event.get("object") == "task.delta":
        return _read(event, TaskDelta)
    return _read(event, _KINDS[task])


def _read(answer: Any, kind: type[R]) -> R:
    """Raises EngineFailed for an answer of another shape."""
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise EngineFailed(f"the API doesn't answer a task as this client knows it: {error}") from error
