"""OpenAI's wire format, as the API and the model server both read it.

`decode(ChatRequest, body)` is the one way in; `problems` is how a failure goes out.
"""

from genai_stack.protocol import problems
from genai_stack.protocol.decoding import decode
from genai_stack.protocol.messages import (
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
from genai_stack.protocol.requests import (
    ChatRequest,
    CompletionRequest,
    DetokenizeRequest,
    EmbeddingRequest,
    Request,
    TokenizeRequest,
)

__all__ = [
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
