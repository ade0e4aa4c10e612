"""OpenAI's conversations, as they go over the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .items import InputItem, check_items
from .requests import Metadata

ITEMS_MOST = 20
"""Items that come in one request."""


class ConversationRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/conversations."""

    items: Annotated[list[InputItem], Meta(max_length=ITEMS_MOST)] | None = None
    metadata: Metadata | None = None


class ConversationUpdate(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/conversations/{id}: all of the metadata anew; null takes it away."""

    metadata: Metadata | None


class ConversationItems(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/conversations/{id}/items."""

    items: Annotated[list[InputItem], Meta(min_length=1, max_length=ITEMS_MOST)]


class Conversation(Struct, frozen=True):
    """`created_at` is Unix seconds."""

    id: str
    created_at: int
    metadata: Metadata
    object: Literal["conversation"] = "conversation"


class ConversationDeleted(Struct, frozen=True):
    id: str
    deleted: bool = True
    object: Literal["conversation.deleted"] = "conversation.deleted"


def check_conversation(request: ConversationRequest) -> None:
    check_items(request.items or [], "items")


def check_conversation_items(request: ConversationItems) -> None:
    check_items(request.items, "items")
