"""What no single field's type can say: rules between fields. Each raises RequestError with the field in `param`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import RequestError
from .anatomy import AnatomyRequest
from .conversations import (
    ConversationItems,
    ConversationRequest,
    check_conversation,
    check_conversation_items,
)
from .messages import AssistantMessage, JsonSchema, Message, NamedTool, Tool
from .moderation import ModerationRequest, check_moderation
from .requests import (
    ChatRequest,
    CompletionRequest,
    DetokenizeRequest,
    EmbeddingRequest,
    TokenizeRequest,
)
from .responses import ResponseRequest, check_response
from .stores import (
    FileBatchRequest,
    SearchRequest,
    StoreFileRequest,
    StoreRequest,
    check_file_batch,
    check_search,
    check_store,
    check_store_file,
)
from .tasks import (
    AnswerRequest,
    AssistantRequest,
    ClassifyRequest,
    ExtractRequest,
    RewriteRequest,
    SummarizeRequest,
    TranslateRequest,
    check_answer,
    check_assistant,
    check_classify,
    check_extract,
    check_rewrite,
    check_summarize,
    check_translate,
)

MAX_INPUTS = 2048
MAX_SCHEMA_DEPTH = 64


def check_chat(request: ChatRequest) -> None:
    _check_messages(request.messages)
    _check_stream_options(request)
    if request.store:
        raise _unsupported("store", "completions aren't stored here; send false or leave it out")
    if request.top_logprobs is not None and not request.logprobs:
        raise _invalid("top_logprobs", "needs `logprobs: true`; set it, or leave `top_logprobs` out")
    if (
        request.max_completion_tokens is not None
        and request.max_tokens is not None
        and request.max_tokens != request.max_completion_tokens
    ):
        raise _invalid("max_tokens", "differs from `max_completion_tokens`; send only one of them")
    _check_min_tokens(request.min_tokens, request.limit)
    _check_tools(request.tools)
    choice = request.tool_choice
    if choice is not None and choice not in ("none", "auto"):
        if not request.tools:
            raise _invalid("tool_choice", "needs `tools`; send the tools to choose from, or leave it out")
        if isinstance(choice, NamedTool) and all(
            t.function.name != choice.function.name for t in request.tools
        ):
            raise _invalid(
                "tool_choice", f"names '{choice.function.name}', which isn't among `tools`; add it there"
            )
    if isinstance(request.response_format, JsonSchema):
        check_schema(request.response_format.json_schema.schema, "response_format.json_schema.schema")


def check_completion(request: CompletionRequest) -> None:
    _check_texts("prompt", request.prompt)
    _check_stream_options(request)
    if request.best_of is not None and request.best_of != (request.n or 1):
        raise _unsupported("best_of", "only a `best_of` equal to `n` works here; leave it out")
    _check_min_tokens(request.min_tokens, request.limit)


def check_embedding(request: EmbeddingRequest) -> None:
    _check_texts("input", request.input)


def check_tokenize(request: TokenizeRequest) -> None:
    if (request.prompt is None) == (request.messages is None):
        raise _invalid("prompt", "or `messages` must come, one of the two; send one and leave the other out")
    if request.messages is None:
        for name in ("add_generation_prompt", "tools"):
            if getattr(request, name) is not None:
                raise _invalid(name, "goes with `messages` only; leave it out beside `prompt`")
    else:
        if request.return_offsets:
            raise _invalid("return_offsets", "goes with `prompt` only; leave it out beside `messages`")
        _check_messages(request.messages)
        _check_tools(request.tools)


def check_detokenize(request: DetokenizeRequest) -> None:
    """Any list of token ids will do; which ids exist is the model's to say."""


def check_anatomy(request: AnatomyRequest) -> None:
    for name in ("steps", "layers", "heads", "positions", "compare"):
        chosen = getattr(request, name)
        if isinstance(chosen, list) and len(set(chosen)) < len(chosen):
            raise _invalid(name, "names one thing twice; name each once")
    if request.steps is None:
        return
    for name, steps in _STEPS_OF.items():
        if getattr(request, name) is not None and not set(steps) & set(request.steps):
            wanted = " or ".join(f"'{step}'" for step in steps)
            raise _invalid(
                name, f"goes with the step {wanted}, which `steps` leaves out; add it or leave this out"
            )
    if request.layers is not None and "attention" not in request.steps and not request.lens:
        raise _invalid("layers", "needs the step 'attention' or `lens: true`; add one, or leave `layers` out")


_STEPS_OF: dict[str, tuple[str, ...]] = {
    "positions": ("embeddings", "attention", "output"),
    "layers": ("attention", "output"),
    "heads": ("attention",),
    "attention_top": ("attention",),
    "compare": ("attention",),
    "neighbours": ("embeddings", "attention"),
    "dimensions": ("embeddings", "attention"),
    "vectors": ("embeddings", "attention"),
    "top_k": ("output",),
    "temperature": ("output",),
    "lens": ("output",),
}
"""Per parameter of an anatomy the steps it says something about."""

RULES: dict[type[Any], Callable[[Any], None]] = {
    ChatRequest: check_chat,
    CompletionRequest: check_completion,
    EmbeddingRequest: check_embedding,
    TokenizeRequest: check_tokenize,
    DetokenizeRequest: check_detokenize,
    AnatomyRequest: check_anatomy,
    StoreRequest: check_store,
    StoreFileRequest: check_store_file,
    FileBatchRequest: check_file_batch,
    SearchRequest: check_search,
    ModerationRequest: check_moderation,
    ResponseRequest: check_response,
    ConversationRequest: check_conversation,
    ConversationItems: check_conversation_items,
    SummarizeRequest: check_summarize,
    TranslateRequest: check_translate,
    RewriteRequest: check_rewrite,
    ClassifyRequest: check_classify,
    ExtractRequest: check_extract,
    AnswerRequest: check_answer,
    AssistantRequest: check_assistant,
}


def _invalid(param: str, what: str) -> RequestError:
    return RequestError(f"'{param}' {what}.", param=param, code="invalid_value")


def _unsupported(param: str, what: str) -> RequestError:
    return RequestError(f"'{param}' isn't supported: {what}.", param=param, code="unsupported_parameter")


def _check_messages(messages: list[Message]) -> None:
    for index, message in enumerate(messages):
        if (
            isinstance(message, AssistantMessage)
            and message.content is None
            and not message.tool_calls
            and message.refusal is None
        ):
            raise _invalid(
                f"messages[{index}].content",
                "may be null only in an assistant message with `tool_calls`; send text",
            )


def _check_stream_options(request: ChatRequest | CompletionRequest) -> None:
    if request.stream_options is None:
        return
    if not request.stream:
        raise _invalid("stream_options", "goes with `stream: true` only; set it, or leave `stream_options` out")
    if request.stream_options.include_obfuscation:
        raise _unsupported("stream_options.include_obfuscation", "send false or leave it out")


def _check_min_tokens(least: int | None, most: int | None) -> None:
    if least is not None and most is not None and least > most:
        raise _invalid(
            "min_tokens", f"is {least} and the most tokens to generate {most}; lower it to at most that"
        )


def _check_tools(tools: list[Tool] | None) -> None:
    names: set[str] = set()
    for index, tool in enumerate(tools or ()):
        if tool.function.name in names:
            raise _invalid(
                f"tools[{index}].function.name", f"repeats '{tool.function.name}'; give each its own name"
            )
        names.add(tool.function.name)
        if tool.function.parameters:
            check_schema(tool.function.parameters, f"tools[{index}].function.parameters")


def check_schema(schema: dict[str, Any], param: str) -> None:
    """Bounds the nesting, so that no reader of the schema further on runs out of stack."""
    level: list[Any] = [schema]
    for _ in range(MAX_SCHEMA_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise _invalid(
        param, f"nests deeper than {MAX_SCHEMA_DEPTH} levels; flatten it, or share parts through $defs"
    )


def _check_texts(param: str, value: str | list[str | int | list[int]]) -> None:
    if isinstance(value, str):
        if not value:
            raise _invalid(param, "is empty; send some text")
        return
    kind = type(value[0])
    for index, item in enumerate(value):
        if type(item) is not kind:
            raise _invalid(
                f"{param}[{index}]", "differs in kind from the items before; send one kind in a list"
            )
        if item == "":
            raise _invalid(f"{param}[{index}]", "is empty; send some text")
    if kind is not int and len(value) > MAX_INPUTS:
        raise _invalid(param, f"has {len(value)} items; send at most {MAX_INPUTS} in a request")
