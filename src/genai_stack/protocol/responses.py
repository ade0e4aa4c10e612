"""OpenAI's responses, as they go over the wire. A field typed `None`, or with one literal, is a parameter this stack
knows and can't honour: only its harmless value passes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from ..errors import RequestError
from . import filters
from .filters import Filter
from .items import InputItem, Item, check_items
from .messages import FunctionName
from .requests import EndUser, Metadata, ModelName, Temperature, TokenCount, TopP

STORES_MOST = 8
ResponseId = Annotated[str, Meta(min_length=1, max_length=128)]
Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
ENDED: frozenset[Status] = frozenset(("completed", "incomplete", "failed", "cancelled"))
RESULTS = "file_search_call.results"
LOGPROBS = "message.output_text.logprobs"
Includable = Literal["file_search_call.results", "message.output_text.logprobs"]


class FunctionTool(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="function"):
    name: FunctionName
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None
    defer_loading: bool | None = None
    allowed_callers: list[Literal["direct"]] | None = None
    output_schema: None = None
    async_: None = field(default=None, name="async")


class FileRanking(Struct, frozen=True, forbid_unknown_fields=True):
    """Both rankers fuse the ranks by vectors and by words."""

    ranker: Literal["auto", "default-2024-11-15"] | None = None
    score_threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    hybrid_search: None = None


class FileSearchTool(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="file_search"):
    """The API searches before the model answers, for the text of the last user message."""

    vector_store_ids: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=128)]], Meta(min_length=1, max_length=STORES_MOST)
    ]
    max_num_results: Annotated[int, Meta(ge=1, le=50)] | None = None
    filters: Filter | None = None
    ranking_options: FileRanking | None = None


ResponseTool = FunctionTool | FileSearchTool


class ChooseFunction(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="function"):
    name: FunctionName


class ChooseFileSearch(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="file_search"):
    pass


Choice = Literal["none", "auto", "required"] | ChooseFunction | ChooseFileSearch


class TextFormat(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="text"):
    pass


class JsonFormat(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="json_object"):
    pass


class SchemaFormat(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="json_schema"):
    name: FunctionName
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class TextOptions(Struct, frozen=True, forbid_unknown_fields=True):
    format: TextFormat | JsonFormat | SchemaFormat | None = None
    verbosity: Literal["medium"] | None = None


class ConversationRef(Struct, frozen=True, forbid_unknown_fields=True):
    id: ResponseId


class ResponseStreamOptions(Struct, frozen=True, forbid_unknown_fields=True):
    include_obfuscation: bool | None = None


class Reasoning(Struct, frozen=True, forbid_unknown_fields=True):
    effort: Literal["none"] | None = None
    summary: None = None
    generate_summary: None = None


class ResponseRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/responses."""

    model: ModelName
    input: str | Annotated[list[InputItem], Meta(min_length=1)] | None = None
    instructions: str | None = None
    previous_response_id: ResponseId | None = None
    conversation: ResponseId | ConversationRef | None = None
    tools: Annotated[list[ResponseTool], Meta(max_length=128)] | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    max_output_tokens: TokenCount | None = None
    truncation: Literal["auto", "disabled"] | None = None
    include: list[Includable] | None = None
    metadata: Metadata | None = None
    store: bool | None = None
    background: bool | None = None
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    # Accepted, with nothing to do for them.
    user: EndUser | None = None
    safety_identifier: EndUser | None = None
    prompt_cache_key: EndUser | None = None
    service_tier: Literal["auto", "default"] | None = None
    reasoning: Reasoning | None = None
    # Known and not honoured.
    max_tool_calls: None = None
    prompt: None = None
    prompt_cache_options: None = None
    prompt_cache_retention: None = None
    moderation: None = None
    context_management: None = None
    background_options: None = None
    access_programs: None = None
    image: None = None

    @property
    def kept(self) -> bool:
        return self.store is not False

    @property
    def conversation_id(self) -> str | None:
        return self.conversation.id if isinstance(self.conversation, ConversationRef) else self.conversation

    @property
    def items(self) -> list[InputItem]:
        if self.input is None or isinstance(self.input, list):
            return self.input or []
        return [InputItem(role="user", content=self.input)]

    @property
    def functions(self) -> list[FunctionTool]:
        return [tool for tool in self.tools or () if isinstance(tool, FunctionTool)]

    @property
    def file_search(self) -> FileSearchTool | None:
        """The one to search with, unless the choice of tools leaves it out."""
        if self.tool_choice == "none" or isinstance(self.tool_choice, ChooseFunction):
            return None
        return next((tool for tool in self.tools or () if isinstance(tool, FileSearchTool)), None)

    @property
    def shows_logprobs(self) -> bool:
        return LOGPROBS in (self.include or ()) or bool(self.top_logprobs)


class InputTokensDetails(Struct, frozen=True):
    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokensDetails(Struct, frozen=True):
    reasoning_tokens: int = 0


class ResponseUsage(Struct, frozen=True):
    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputTokensDetails = InputTokensDetails()
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()


class ResponseFault(Struct, frozen=True):
    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str


class IncompleteDetails(Struct, frozen=True):
    reason: Literal["max_output_tokens", "content_filter"]


class Response(Struct, frozen=True):
    """Times are Unix seconds."""

    id: str
    created_at: int
    model: str
    status: Status
    output: list[Item]
    parallel_tool_calls: bool
    tools: list[ResponseTool]
    tool_choice: Choice
    text: TextOptions
    truncation: Literal["auto", "disabled"]
    background: bool
    store: bool
    error: ResponseFault | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None = None
    metadata: Metadata | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int = 0
    max_output_tokens: int | None = None
    previous_response_id: str | None = None
    conversation: ConversationRef | None = None
    completed_at: int | None = None
    usage: ResponseUsage | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: Literal["default"] = "default"
    object: Literal["response"] = "response"


class ResponseEvent(Struct, frozen=True):
    """One server-sent event. `type` says which other fields there are, as OpenAI's documentation has them; `response`
    is in those that tell of all of it."""

    type: str
    sequence_number: int
    response: Response | None = None
    item_id: str | None = None
    output_index: int | None = None
    delta: str | None = None


class ResponseDeleted(Struct, frozen=True):
    id: str
    deleted: bool = True
    object: Literal["response"] = "response"


class ItemList(Struct, frozen=True):
    data: list[Item]
    has_more: bool
    first_id: str = ""
    last_id: str = ""
    object: Literal["list"] = "list"


def check_response(request: ResponseRequest) -> None:
    """Raises RequestError. What the chat route says of tools and schemas it says itself."""
    check_items(request.items, "input", references=True)
    if not request.items and request.previous_response_id is None and request.conversation is None:
        raise _invalid("input", "is missing; send a text, or items", code="missing_required_parameter")
    if request.previous_response_id is not None and request.conversation is not None:
        raise _invalid("previous_response_id", "and 'conversation' exclude each other; send one")
    if request.background and not request.kept:
        raise _invalid("background", "needs 'store: true': its answer is to be read later")
    if request.stream_options is not None and not request.stream:
        raise _invalid("stream_options", "goes with 'stream: true' only; leave it out")
    if request.stream_options is not None and request.stream_options.include_obfuscation:
        raise _unsupported("stream_options.include_obfuscation")
    _check_tools(request)


def _check_tools(request: ResponseRequest) -> None:
    searches = [place for place, tool in enumerate(request.tools or ()) if isinstance(tool, FileSearchTool)]
    if len(searches) > 1:
        raise _invalid(f"tools[{searches[1]}]", "is a second file_search; put all stores into one")
    for place, tool in enumerate(request.tools or ()):
        if isinstance(tool, FileSearchTool) and tool.filters is not None:
            filters.check(tool.filters, f"tools[{place}].filters")
        if isinstance(tool, FunctionTool) and tool.defer_loading:
            raise _unsupported(f"tools[{place}].defer_loading")
        if isinstance(tool, FunctionTool) and any(
            tool.name == other.name for other in request.functions if other is not tool
        ):
            raise _invalid(f"tools[{place}].name", f"'{tool.name}' comes twice; give each its own name")
    choice = request.tool_choice
    if isinstance(choice, ChooseFileSearch) and not searches:
        raise _invalid("tool_choice", "is file_search, which isn't among 'tools'; add it there")
    if choice == "required" and not request.tools:
        raise _invalid("tool_choice", "needs 'tools'; send the tools to choose from, or leave it out")
    if isinstance(choice, ChooseFunction) and all(tool.name != choice.name for tool in request.functions):
        raise _invalid("tool_choice", f"names '{choice.name}', which isn't among 'tools'; add it there")


def _invalid(param: str, what: str, *, code: str = "invalid_value") -> RequestError:
    return RequestError(f"'{param}' {what}.", param=param, code=code)


def _unsupported(param: str) -> RequestError:
    return RequestError(
        f"'{param}' isn't supported; send false or leave it out.", param=param, code="unsupported_parameter"
    )
