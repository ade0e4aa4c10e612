"""GET /health: this process answers. GET /ready: the default model answers as well."""

from __future__ import annotations

import asyncio
import time

import msgspec

from ..config import StackConfig
from ..errors import GenAIStackError, NotDeployedError
from ..ports import ModelHost
from ..protocol.refusals import refusal
from ..protocol.replies import Health
from . import log
from .exchange import Exchange, Handler

READY_SECONDS = 5.0
"""How long a successful probe counts, so that asking without a key costs no more than a token per that time."""
PATIENCE_SECONDS = 5.0
"""How long one asker waits for a probe that is under way; the probe itself goes on."""


async def health(exchange: Exchange) -> None:
    await exchange.answer(200, msgspec.json.encode(Health("live")))


def ready(models: ModelHost, config: StackConfig, *, patience: float = PATIENCE_SECONDS) -> Handler:
    """Generates one token, or embeds one word where no chat model is configured; askers share one probe."""
    if not config.local_models:
        return _nothing_to_serve
    model, route, body = _probe(config)
    running: asyncio.Task[GenAIStackError | None] | None = None
    good_until = 0.0

    async def probe(exchange: Exchange) -> GenAIStackError | None:
        nonlocal good_until
        try:
            reply = await models.invoke(model, route, body)
        except GenAIStackError as error:
            return error
        except Exception as error:
            log.unexpected(exchange, error)
            return NotDeployedError("the model server can't be reached; look at its log")
        if reply.status != 200:
            return refusal(reply.status, reply.body)
        good_until = time.monotonic() + READY_SECONDS
        return None

    async def handle(exchange: Exchange) -> None:
        nonlocal running
        if time.monotonic() >= good_until:
            if running is None or running.done():
                running = asyncio.create_task(probe(exchange))
            await asyncio.wait((running,), timeout=patience)
            if not running.done():
                raise _not_ready(f"Not ready: '{model}' is still starting; ask again in a moment.")
            if (error := running.result()) is not None:
                raise _not_ready(
                    f"Not ready: '{model}' doesn't answer ({error.message}); ask again in a moment."
                )
        await exchange.answer(200, msgspec.json.encode(Health("ready")))

    return handle


async def _nothing_to_serve(exchange: Exchange) -> None:
    raise _not_ready("Not ready: no model is configured for this machine; name one in stack.toml.")


def _not_ready(message: str) -> NotDeployedError:
    error = NotDeployedError(message, code="not_ready")
    error.retry_after = 1.0
    return error


def _probe(config: StackConfig) -> tuple[str, str, bytes]:
    if (chat := config.default_model) is not None:
        request = {"model": chat, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
        return chat, "/v1/chat/completions", msgspec.json.encode(request)
    name = config.local_models[0].name
    return name, "/v1/embeddings", msgspec.json.encode({"model": name, "input": "Hi"})
