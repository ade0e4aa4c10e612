"""/v1/moderations, by a guard model: a hosted model with task "moderation", asked as a chat."""

from __future__ import annotations

import asyncio
import secrets
from time import perf_counter
from typing import Any

import msgspec

from ..errors import EngineFailed
from ..ports import ModelVersion
from ..protocol.decoding import decode
from ..protocol.moderation import ModerationRequest, ModerationResult, Moderations
from ..protocol.refusals import refusal
from . import intake
from .exchange import Exchange, Handler, UntilGone
from .media import Asking
from .resources.asked import idempotency_key
from .resources.operations import Operation
from .usage import Used, counts
from .verdicts import verdict

ROUTE = "/v1/moderations"
OPERATIONS = (
    Operation(
        "post", ROUTE, "createModeration", "Say whether texts are harmful", Moderations, ModerationRequest
    ),
)
CHAT = "/v1/chat/completions"
ANSWER = 64
"""Tokens that a verdict takes at the most."""
AT_ONCE = 8


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    choices: list[_Choice]


def moderated(asking: Asking) -> Handler:
    turns = asyncio.Semaphore(AT_ONCE)

    async def judged(exchange: Exchange, model: str, text: str, wait: float | None) -> ModerationResult:
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": text}]}
        body |= {"temperature": 0, "max_tokens": ANSWER}
        async with turns:
            began = perf_counter()
            try:
                reply = await asking.models.invoke(model, CHAT, msgspec.json.encode(body), wait=wait)
            finally:
                exchange.served += perf_counter() - began
        if reply.status != 200:
            raise refusal(reply.status, reply.body)
        before, read = exchange.used, counts(reply.body)
        exchange.used = Used(before.prompt + read.prompt, before.completion + read.completion)
        try:
            said = msgspec.json.decode(reply.body, type=_Completion).choices[0].message.content or ""
        except (msgspec.MsgspecError, IndexError):
            said = ""
        found = verdict(said)
        if found is None:
            raise EngineFailed(
                f"The model '{model}' doesn't say what a guard model says; name a Llama Guard or a Qwen3Guard-Gen "
                "in stack.toml."
            )
        return found

    async def handle(exchange: Exchange) -> None:
        body = await intake.body(exchange, asking.max_body_bytes)
        wait = intake.patience(exchange)
        request = decode(ModerationRequest, body)
        stays = idempotency_key(exchange) is not None

        async def answer(version: ModelVersion) -> None:
            exchange.asked = perf_counter()
            with UntilGone(exchange, stays=stays):
                work = [judged(exchange, version.name, text, wait) for text in request.texts]
                results = await _together(work)
            found = Moderations(f"modr-{secrets.token_hex(12)}", version.name, results)
            await exchange.answer(200, msgspec.json.encode(found))

        size = len(body)
        await asking.model(exchange, request, request.model, "moderation", size=size, body=body, answer=answer)

    return handle


async def _together(work: list[Any]) -> list[ModerationResult]:
    """All of it, or the first failure, which ends the rest."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
