"""What a client may send to each POST route. Unknown fields are refused; null means the default everywhere.

Beyond OpenAI's API these take vLLM's `top_k`, `min_p`, `repetition_penalty`, `min_tokens` and `ignore_eos`. A field
typed `None`, or with one literal, is a known OpenAI parameter this stack can't honour: only its harmless value passes.
"""

from __future__ import annotations

from typing import Annotated, Literal, cast

from msgspec import Meta, Struct

from .messages import Message, ResponseFormat, Tool, ToolChoice

INT32 = 2**31 - 1
INT64 = 2**63 - 1

ModelName = Annotated[str, Meta(min_length=1, max_length=512, description="A name from GET /v1/models")]
TokenId = Annotated[int, Meta(ge=0, le=INT32)]
TokenCount = Annotated[int, Meta(ge=1, le=INT32)]
MinTokens = Annotated[int, Meta(ge=0, le=INT32)]
Choices = Annotated[int, Meta(ge=1, le=16)]
Seed = Annotated[int, Meta(ge=-INT64 - 1, le=INT64)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
TopP = Annotated[float, Meta(gt=0, le=1)]
TopK = Annotated[int, Meta(ge=-1, le=INT32, description="0 and -1 consider every token")]
MinP = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
RepetitionPenalty = Annotated[float, Meta(gt=0, le=10)]
StopText = Annotated[str, Meta(min_length=1, max_length=1024)]
EndUser = Annotated[str, Meta(max_length=1024)]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
TextOrTokens = (
    str
    | Annotated[
        list[str | TokenId | Annotated[list[TokenId], Meta(min_length=1)]],
        Meta(min_length=1, description="Texts, or token ids, or lists of token ids; one kind in a list"),
    ]
)


class StreamOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`include_usage` asks for a last chunk with `choices: []` and the usage of the whole answer. With it,
    `continuous_usage_stats` (vLLM's) asks for the usage so far in every chunk: the prompt's, and of the chunk's own
    choice."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    include_obfuscation: bool | None = None


class ChatRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/chat/completions."""

    model: ModelName
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: TokenCount | None = None
    max_completion_tokens: TokenCount | None = None
    min_tokens: MinTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    n: Choices | None = None
    stop: StopText | Annotated[list[StopText], Meta(max_length=4)] | None = None
    seed: Seed | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repetition_penalty: RepetitionPenalty | None = None
    ignore_eos: bool | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    # Accepted, with nothing to do for them.
    user: EndUser | None = None
    metadata: Metadata | None = None
    safety_identifier: EndUser | None = None
    prompt_cache_key: EndUser | None = None
    store: bool | None = None
    service_tier: Literal["auto", "default"] | None = None
    modalities: list[Literal["text"]] | None = None
    reasoning_effort: Literal["none"] | None = None
    verbosity: Literal["medium"] | None = None
    # Known and not honoured.
    logit_bias: None = None
    prediction: None = None
    audio: None = None
    web_search_options: None = None
    functions: None = None
    function_call: None = None
    moderation: None = None
    prompt_cache_options: None = None
    prompt_cache_retention: None = None

    @property
    def limit(self) -> int | None:
        """The most tokens to generate; None leaves it to the context window."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        return _stops(self.stop)

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def counts_on(self) -> bool:
        """Whether each chunk says the usage so far."""
        return self.include_usage and bool(self.stream_options and self.stream_options.continuous_usage_stats)


class CompletionRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/completions. Up to 16 stop texts, since evaluation harnesses send more than OpenAI's four."""

    model: ModelName
    prompt: TextOrTokens
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: TokenCount | None = None
    min_tokens: MinTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    n: Choices | None = None
    best_of: Choices | None = None
    stop: StopText | Annotated[list[StopText], Meta(max_length=16)] | None = None
    seed: Seed | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    echo: bool | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repetition_penalty: RepetitionPenalty | None = None
    ignore_eos: bool | None = None
    user: EndUser | None = None
    logit_bias: None = None
    suffix: None = None

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        return _texts_or_token_lists(self.prompt)

    @property
    def limit(self) -> int:
        """The most tokens to generate: OpenAI's default is 16."""
        return self.max_tokens or 16

    @property
    def stops(self) -> tuple[str, ...]:
        return _stops(self.stop)

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def counts_on(self) -> bool:
        """Whether each chunk says the usage so far."""
        return self.include_usage and bool(self.stream_options and self.stream_options.continuous_usage_stats)


class EmbeddingRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/embeddings."""

    model: ModelName
    input: TextOrTokens
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: TokenCount | None = None
    user: EndUser | None = None

    @property
    def inputs(self) -> list[str] | list[list[int]]:
        return _texts_or_token_lists(self.input)


class TokenizeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/tokenize, vLLM's shape: `prompt` or `messages`. `add_special_tokens` unset means yes for a prompt
    and no for messages, whose template writes them; `add_generation_prompt` unset means yes.

    `return_offsets`, which vLLM doesn't have, goes with `prompt`: the characters [start, end) of it that each token
    stands for, with an empty span for what the model wants around a text."""

    model: ModelName
    prompt: str | None = None
    messages: Annotated[list[Message], Meta(min_length=1)] | None = None
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None
    return_offsets: bool | None = None
    add_generation_prompt: bool | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None


class DetokenizeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/detokenize, vLLM's shape."""

    model: ModelName
    tokens: list[TokenId]


Request = ChatRequest | CompletionRequest | EmbeddingRequest | TokenizeRequest | DetokenizeRequest


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    return (stop,) if isinstance(stop, str) else tuple(stop or ())


def _texts_or_token_lists(value: str | list[str | int | list[int]]) -> list[str] | list[list[int]]:
    """The rules have seen to it that a list is of one kind."""
    if isinstance(value, str):
        return [value]
    if isinstance(value[0], int):
        return [cast("list[int]", value)]
    return cast("list[str] | list[list[int]]", value)
