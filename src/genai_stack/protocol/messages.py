"""The conversation types of a chat request: messages, their parts, tools, and the answer format.

Shapes follow OpenAI's chat API; what an unmodified client echoes back from an answer (`refusal`, `annotations`,
vLLM's `reasoning`, LiteLLM's `provider_specific_fields`, openai's `parsed`) is accepted. A field typed `None` names
a parameter this stack knows and doesn't honour: null passes, anything else is refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

FunctionName = Annotated[
    str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}(?!\n)$", description="Letters, digits, _ and -")
]
CallId = Annotated[str, Meta(min_length=1, max_length=256)]
SpeakerName = Annotated[str, Meta(max_length=256)]


class TextPart(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="text"):
    text: str


class RefusalPart(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="refusal"):
    refusal: str


TextContent = str | Annotated[list[TextPart], Meta(min_length=1)]
AssistantContent = str | Annotated[list[TextPart | RefusalPart], Meta(min_length=1)]


class FunctionCall(Struct, frozen=True, forbid_unknown_fields=True):
    """`arguments` is the JSON text a model wrote; it needn't parse. `parsed_arguments` is what openai's own client
    made of it, and sends back."""

    name: FunctionName
    arguments: str
    parsed_arguments: Any = None


class ToolCall(Struct, frozen=True, forbid_unknown_fields=True):
    id: CallId
    function: FunctionCall
    type: Literal["function"] = "function"
    index: int | None = None


class SystemMessage(Struct, frozen=True, forbid_unknown_fields=True, tag_field="role", tag="system"):
    content: TextContent
    name: SpeakerName | None = None


class DeveloperMessage(Struct, frozen=True, forbid_unknown_fields=True, tag_field="role", tag="developer"):
    """Treated as a system message."""

    content: TextContent
    name: SpeakerName | None = None


class UserMessage(Struct, frozen=True, forbid_unknown_fields=True, tag_field="role", tag="user"):
    content: TextContent
    name: SpeakerName | None = None


class AssistantMessage(Struct, frozen=True, forbid_unknown_fields=True, tag_field="role", tag="assistant"):
    """`content` may be missing only beside tool calls or a refusal."""

    content: AssistantContent | None = None
    name: SpeakerName | None = None
    tool_calls: list[ToolCall] | None = None
    refusal: str | None = None
    annotations: list[Any] | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    provider_specific_fields: dict[str, Any] | None = None
    parsed: Any = None
    audio: None = None
    function_call: None = None


class ToolMessage(Struct, frozen=True, forbid_unknown_fields=True, tag_field="role", tag="tool"):
    content: TextContent
    tool_call_id: CallId
    name: SpeakerName | None = None


Message = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage


class Function(Struct, frozen=True, forbid_unknown_fields=True):
    """`parameters` is a JSON Schema of the arguments; none means the function takes none."""

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="function"):
    function: Function


class FunctionRef(Struct, frozen=True, forbid_unknown_fields=True):
    name: FunctionName


class NamedTool(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="function"):
    function: FunctionRef


ToolChoice = Literal["none", "auto", "required"] | NamedTool


class PlainText(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="text"):
    pass


class JsonObject(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="json_object"):
    pass


class NamedSchema(Struct, frozen=True, forbid_unknown_fields=True):
    name: FunctionName
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class JsonSchema(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="json_schema"):
    json_schema: NamedSchema


ResponseFormat = PlainText | JsonObject | JsonSchema


def text_of(content: AssistantContent | TextContent | None) -> str:
    """A message's content as one string: parts are joined by newlines, as vLLM joins them."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part.text if isinstance(part, TextPart) else part.refusal for part in content)


def for_template(message: Message) -> dict[str, Any]:
    """The plain object a chat template is given: `role`, `content` as a string, and `name`, `tool_calls` or
    `tool_call_id` where the message has them. `arguments` stay the text they came as."""
    plain: dict[str, Any] = {"content": text_of(message.content)}
    match message:
        case SystemMessage() | DeveloperMessage():
            plain["role"] = "system"
        case UserMessage():
            plain["role"] = "user"
        case AssistantMessage():
            plain["role"] = "assistant"
            if message.content is None and message.refusal:
                plain["content"] = message.refusal
            if message.tool_calls:
                plain["tool_calls"] = [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.function.name, "arguments": call.function.arguments},
                    }
                    for call in message.tool_calls
                ]
        case ToolMessage():
            plain["role"] = "tool"
            plain["tool_call_id"] = message.tool_call_id
    if message.name:
        plain["name"] = message.name
    return plain
