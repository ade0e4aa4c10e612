"""What the POST routes answer, as /openapi.json describes it. Nothing on the hot path builds or parses these."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ..hosted import Task


class Problem(Struct, frozen=True):
    """What went wrong and the next step; `param` names the field to blame."""

    message: str
    type: str
    param: str | None
    code: str | None


class ProblemBody(Struct, frozen=True):
    error: Problem


class PromptTokensDetails(Struct, frozen=True):
    cached_tokens: int = 0


class Usage(Struct, frozen=True):
    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: PromptTokensDetails | None = None


class TopLogprob(Struct, frozen=True):
    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogprob(Struct, frozen=True):
    token: str
    logprob: float
    top_logprobs: list[TopLogprob]
    bytes: list[int] | None = None


class ChatLogprobs(Struct, frozen=True):
    content: list[TokenLogprob] | None = None


class CalledFunction(Struct, frozen=True):
    name: str
    arguments: str


class MadeToolCall(Struct, frozen=True):
    id: str
    type: Literal["function"]
    function: CalledFunction


class AnswerMessage(Struct, frozen=True):
    role: Literal["assistant"]
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[MadeToolCall] | None = None


FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class ChatChoice(Struct, frozen=True):
    index: int
    message: AnswerMessage
    finish_reason: FinishReason
    logprobs: ChatLogprobs | None = None


class ChatCompletion(Struct, frozen=True):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class FunctionDelta(Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(Struct, frozen=True):
    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionDelta | None = None


class MessageDelta(Struct, frozen=True):
    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None


class ChatChunkChoice(Struct, frozen=True):
    index: int
    delta: MessageDelta
    finish_reason: FinishReason | None = None
    logprobs: ChatLogprobs | None = None


class ChatCompletionChunk(Struct, frozen=True):
    """One SSE event of a streamed chat; the last one, `[DONE]`, comes only after success."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: Usage | None = None


class CompletionLogprobs(Struct, frozen=True):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class CompletionChoice(Struct, frozen=True):
    index: int
    text: str
    finish_reason: Literal["stop", "length", "content_filter"] | None = None
    logprobs: CompletionLogprobs | None = None


class Completion(Struct, frozen=True):
    """Streamed, each SSE event has this shape too."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None


class Embedding(Struct, frozen=True):
    """`embedding` is base64 of little-endian float32 when `encoding_format` is base64."""

    index: int
    object: Literal["embedding"]
    embedding: list[float] | str


class EmbeddingList(Struct, frozen=True):
    object: Literal["list"]
    model: str
    data: list[Embedding]
    usage: Usage


class Tokenized(Struct, frozen=True):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None
    offsets: list[tuple[int, int]] | None = None


class Detokenized(Struct, frozen=True):
    prompt: str


class ModelCard(Struct, frozen=True):
    """`created` is Unix seconds, 0 for a configured model; `parent` is the base of a fine-tune."""

    id: str
    created: int
    task: Task
    parent: str | None = None
    object: Literal["model"] = "model"
    owned_by: str = "genai-stack"


class ModelList(Struct, frozen=True):
    data: list[ModelCard]
    object: Literal["list"] = "list"


class ModelDeleted(Struct, frozen=True):
    id: str
    deleted: bool = True
    object: Literal["model"] = "model"


class Health(Struct, frozen=True):
    status: Literal["live", "ready"]
