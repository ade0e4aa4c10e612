"""What the task routes answer. `usage` counts every call of the model that an answer took; `calls` says how many."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct


class TaskUsage(Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    calls: int


Ended = Literal["stop", "length"]
"""`length`: the model was cut off at `max_tokens`, or at the end of its context."""


class Summary(Struct, frozen=True):
    """`pieces` are the parts that a text longer than the model's context was read in."""

    id: str
    model: str
    summary: str
    finish_reason: Ended
    pieces: int
    usage: TaskUsage
    object: Literal["task.summary"] = "task.summary"


class Translation(Struct, frozen=True):
    id: str
    model: str
    target: str
    translation: str
    finish_reason: Ended
    pieces: int
    usage: TaskUsage
    object: Literal["task.translation"] = "task.translation"


class Rewriting(Struct, frozen=True):
    id: str
    model: str
    rewriting: str
    finish_reason: Ended
    pieces: int
    usage: TaskUsage
    object: Literal["task.rewriting"] = "task.rewriting"


class LabelScore(Struct, frozen=True):
    """`confidence` (0 to 1) comes from the probabilities of the label's tokens among those that lead to a label; null
    where the model's host tells none."""

    label: str
    confidence: float | None


class Classification(Struct, frozen=True):
    """`labels` are those chosen. `label` is the one, or null with `multi_label`. `scores` has the chosen label, or with
    `multi_label` every one: how sure it is that the label fits."""

    id: str
    model: str
    label: str | None
    labels: list[str]
    scores: list[LabelScore]
    pieces: int
    usage: TaskUsage
    object: Literal["task.classification"] = "task.classification"


class Extraction(Struct, frozen=True):
    """`data` fits the schema that was sent."""

    id: str
    model: str
    data: Any
    pieces: int
    usage: TaskUsage
    object: Literal["task.extraction"] = "task.extraction"


class Citation(Struct, frozen=True):
    """`text` is the characters [start, end) of the source: of the passage or document at `index` (from 0, with its `id`
    where it has one), or of the text of file `file_id`. `chunk` is [start, end) of what the model was given of it."""

    text: str
    start: int
    end: int
    chunk: tuple[int, int]
    index: int | None = None
    id: str | None = None
    file_id: str | None = None
    filename: str | None = None


class Answer(Struct, frozen=True):
    """`answer` is null where `found` is false: the sources don't say. `confidence` (0 to 1) is the geometric mean of
    the probabilities of what the model wrote; null where its host tells none."""

    id: str
    model: str
    found: bool
    answer: str | None
    citations: list[Citation]
    confidence: float | None
    finish_reason: Ended
    pieces: int
    usage: TaskUsage
    object: Literal["task.answer"] = "task.answer"


class Assistance(Struct, frozen=True):
    """As an Answer, in a conversation. `question` is what was asked of the sources: the request's question, or that
    question made to stand alone. `conversation` is null where none was named and none was to be kept."""

    id: str
    model: str
    question: str
    found: bool
    answer: str | None
    citations: list[Citation]
    confidence: float | None
    finish_reason: Ended
    pieces: int
    conversation: str | None
    usage: TaskUsage
    object: Literal["task.assistance"] = "task.assistance"


class TaskDelta(Struct, frozen=True):
    """One event of a stream: some more of the text. The last event before `[DONE]` is the whole answer."""

    id: str
    model: str
    delta: str
    object: Literal["task.delta"] = "task.delta"


TaskReply = Summary | Translation | Rewriting | Classification | Extraction | Answer | Assistance
