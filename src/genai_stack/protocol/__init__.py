"""OpenAI's wire format, as the API and the model server both read it.

`decode(ChatRequest, body)` is the one way in; `problems` is how a failure goes out.
"""

from . import problems
from .anatomy import AnatomyRequest
from .decoding import decode
from .messages import (
    AssistantMessage,
    JsonObject,
    JsonSchema,
    Message,
    NamedTool,
    PlainText,
    Tool,
    for_template,
    text_of,
)
from .requests import (
    ChatRequest,
    CompletionRequest,
    DetokenizeRequest,
    EmbeddingRequest,
    Request,
    TokenizeRequest,
)

__all__ = [
    "AnatomyRequest",
    "AssistantMessage",
    "ChatRequest",
    "CompletionRequest",
    "DetokenizeRequest",
    "EmbeddingRequest",
    "JsonObject",
    "JsonSchema",
    "Message",
    "NamedTool",
    "PlainText",
    "Request",
    "TokenizeRequest",
    "Tool",
    "decode",
    "for_template",
    "problems",
    "text_of",
]
