"""/v1/conversations: create, retrieve, update, delete, and their items."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from ...protocol.conversations import (
    Conversation,
    ConversationDeleted,
    ConversationItems,
    ConversationRequest,
    ConversationUpdate,
)
from ...protocol.decoding import decode
from ...protocol.items import Item, without_results
from ...protocol.responses import RESULTS, ItemList
from .. import intake
from ..exchange import Exchange, Handler
from ..resources.asked import idempotency_key, page, path_id, query, tenant
from .conversations import Conversations
from .routes import included

CONVERSATIONS = "/v1/conversations"


def routes(conversations: Conversations, max_body_bytes: int) -> dict[str, dict[str, Handler]]:
    def answering(act: Callable[..., Any], reads: type[Any] | None = None) -> Handler:
        """A handler that answers with what `act` returns, in a thread, for a tenant."""

        async def handle(exchange: Exchange) -> None:
            args: list[Any] = [tenant(exchange), exchange]
            if reads is not None:
                body = await intake.body(exchange, max_body_bytes)
                args.append(decode(reads, body if body.strip() else b"{}"))
            await exchange.answer(200, msgspec.json.encode(await asyncio.to_thread(act, *args)))

        return handle

    def create(owner: str, exchange: Exchange, request: ConversationRequest) -> Conversation:
        return conversations.create(owner, request, idempotency_key(exchange)).shown()

    def show(owner: str, exchange: Exchange) -> Conversation:
        return conversations.get(owner, path_id(exchange)).shown()

    def update(owner: str, exchange: Exchange, request: ConversationUpdate) -> Conversation:
        return conversations.update(owner, path_id(exchange), request.metadata).shown()

    def delete(owner: str, exchange: Exchange) -> ConversationDeleted:
        conversations.delete(owner, path_id(exchange))
        return ConversationDeleted(path_id(exchange))

    def list_items(owner: str, exchange: Exchange) -> ItemList:
        given = query(exchange, "after", "limit", "order", many="include")
        results = RESULTS in included(given)
        return conversations.page(owner, path_id(exchange), page(given, default=20, most=100), results=results)

    def add_items(owner: str, exchange: Exchange, request: ConversationItems) -> ItemList:
        results = RESULTS in included(query(exchange, many="include"))
        made = conversations.add(owner, path_id(exchange), request, idempotency_key(exchange))
        return made if results else msgspec.structs.replace(made, data=[without_results(i) for i in made.data])

    def show_item(owner: str, exchange: Exchange) -> Item:
        results = RESULTS in included(query(exchange, many="include"))
        item = conversations.item(owner, path_id(exchange), path_id(exchange, "item"))
        return item if results else without_results(item)

    def delete_item(owner: str, exchange: Exchange) -> Conversation:
        return conversations.remove(owner, path_id(exchange), path_id(exchange, "item")).shown()

    return {
        CONVERSATIONS: {"POST": answering(create, ConversationRequest)},
        f"{CONVERSATIONS}/{{id}}": {
            "GET": answering(show),
            "POST": answering(update, ConversationUpdate),
            "DELETE": answering(delete),
        },
        f"{CONVERSATIONS}/{{id}}/items": {
            "GET": answering(list_items),
            "POST": answering(add_items, ConversationItems),
        },
        f"{CONVERSATIONS}/{{id}}/items/{{item}}": {
            "GET": answering(show_item),
            "DELETE": answering(delete_item),
        },
    }
