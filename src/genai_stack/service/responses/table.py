"""Every route of responses and conversations, and the handlers behind them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ...config import StackConfig
from ...ports import Services
from ..answers import Answers
from ..catalogue import Catalogue
from ..charging import Charges
from ..exchange import Handler
from ..limits import Limiter
from ..load import Load
from ..prices import Prices
from ..resources.once import Once
from ..resources.searching import Searching
from . import conversation_routes, routes
from .answering import Answering
from .background import Background
from .conversations import Conversations
from .overflow import Overflow
from .responses import Responses
from .turns import Turns


class Talk(NamedTuple):
    """`conversations` are those that `routes` are over. `close` ends what runs in the background, and comes before the
    end of what it uses."""

    routes: dict[str, dict[str, Handler]]
    conversations: Conversations
    close: Callable[[], Awaitable[None]]


def talk(
    services: Services,
    config: StackConfig,
    catalogue: Catalogue,
    limiter: Limiter,
    prices: Prices,
    charges: Charges,
    load: Load,
    searching: Searching | None,
    *,
    keep_alive: float,
    lasting: bool,
) -> Talk:
    """`lasting`: this process goes on while no request runs."""
    once, overflow = Once(services.records), Overflow(services.objects)
    turns = Turns(services.records, overflow)
    conversations = Conversations(services.records, turns, once)
    responses = Responses(services.records, overflow, conversations, turns, once)
    answering = Answering(services.models, catalogue, limiter, prices, charges, responses, searching)
    background = Background(responses, services.models, charges) if lasting else None
    most = config.service.max_body_bytes

    async def close() -> None:
        if background is not None:
            await background.close()

    return Talk(
        {
            **routes.routes(
                responses,
                background,
                answering,
                services.models,
                charges,
                load,
                Answers(services.records),
                max_body_bytes=most,
                keep_alive=keep_alive,
            ),
            **conversation_routes.routes(conversations, most),
        },
        conversations,
        close,
    )
