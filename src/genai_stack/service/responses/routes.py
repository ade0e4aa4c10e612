"""/v1/responses: create, retrieve, cancel, delete, input items."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing
from time import perf_counter

import msgspec

from ...errors import Conflict, EngineFailed, GenAIStackError, RequestError
from ...ports import ModelHost
from ...protocol.decoding import decode
from ...protocol.responses import RESULTS, Response, ResponseDeleted, ResponseRequest
from .. import intake, log
from ..answers import Answers
from ..charging import Charges
from ..exchange import ClientGone, Exchange, Handler, UntilGone
from ..load import Load
from ..principal import Principal
from ..resources.asked import idempotency_key, page, path_id, principal, query, tenant
from ..resources.once import Claim
from .answering import Answering, Asked
from .background import CANCELLED, Background, Live, Order
from .records import StoredResponse
from .responses import Responses, visible
from .run import Run, opened
from .sending import Sender, encoded, error_event, replay

RESPONSES = "/v1/responses"
INCLUDABLE = ("file_search_call.results", "message.output_text.logprobs")


def routes(
    responses: Responses,
    background: Background | None,
    answering: Answering,
    models: ModelHost,
    charges: Charges,
    load: Load,
    answers: Answers,
    *,
    max_body_bytes: int,
    keep_alive: float,
) -> dict[str, dict[str, Handler]]:
    """Without `background`, responses end with their requests, and `background: true` is refused."""

    async def create(exchange: Exchange) -> None:
        charges.check()
        load.check()
        request = decode(ResponseRequest, await intake.body(exchange, max_body_bytes))
        wait, key, by = intake.patience(exchange), idempotency_key(exchange), principal(exchange)
        if request.background and background is None:
            raise _frozen()
        if key is not None and not request.kept:
            raise RequestError(
                "Idempotency-Key finds a response that is kept; send 'store: true', or leave the key out.",
                param="store",
                code="invalid_value",
            )
        if key is None or request.background:
            await _made(exchange, request, by, key, wait)
            return
        async with answers.turn(exchange, by.tenant, key, f"{RESPONSES}\n{request}".encode()):
            await _made(exchange, request, by, key, wait)

    async def _made(
        exchange: Exchange, request: ResponseRequest, by: Principal, key: bytes | None, wait: float | None
    ) -> None:
        version = await answering.allowed(exchange, by, request)
        asks = "" if key is None else str(request)
        claim, there = await asyncio.to_thread(responses.claim, by.tenant, key, asks)
        if there is not None and request.background and request.stream:
            await _followed_later(exchange, claim.id, 0)
            return
        if there is not None:
            await _again(exchange, request, visible(there, request.include))
            return
        if request.background and background is not None:
            with ExitStack() as place:
                background.turnstile.enter(by.tenant, claim.id)
                place.callback(background.turnstile.leave, by.tenant, claim.id)
                asked = await answering.asked(exchange, by, request, version, claim.id)
                await _behind(exchange, background, asked, claim, key, wait, place)
            return
        await load.enter()
        try:
            asked = await answering.asked(exchange, by, request, version, claim.id)
            await (_streamed if request.stream else _whole)(exchange, asked, claim, key, wait)
        finally:
            load.leave(exchange.served)

    async def _whole(
        exchange: Exchange, asked: Asked, claim: Claim, key: bytes | None, wait: float | None
    ) -> None:
        run: Run | None = None
        try:
            with UntilGone(exchange):
                run = await answering.run(asked, opened(claim.id, asked.request), exchange.admission, wait=wait)
                exchange.asked = perf_counter()
                async with aclosing(run.events(models, asked.version.name, wait=wait)) as events:
                    async for _ in events:
                        pass
                kept = await asyncio.to_thread(
                    responses.keep, asked.by.tenant, claim, key, run.response, asked.given
                )
        except ClientGone:
            if run is not None:
                await run.left(models)
            raise
        finally:
            if run is not None:
                exchange.used, exchange.served = run.used, run.served
        await exchange.answer(200, msgspec.json.encode(visible(kept, asked.request.include)))

    async def _streamed(
        exchange: Exchange, asked: Asked, claim: Claim, key: bytes | None, wait: float | None
    ) -> None:
        sender = Sender(exchange, keep_alive)
        exchange.streamed = True
        run: Run | None = None
        last = None
        try:
            with UntilGone(exchange):
                run = await answering.run(asked, opened(claim.id, asked.request), exchange.admission, wait=wait)
                exchange.asked = perf_counter()
                async with aclosing(run.events(models, asked.version.name, wait=wait)) as events:
                    async for event in events:
                        if not sender.number:
                            await sender.send(run.telling("created"))
                        await sender.send(event)
                run.response = await asyncio.to_thread(
                    responses.keep, asked.by.tenant, claim, key, run.response, asked.given
                )
            last = run.ending()
        except ClientGone:
            if run is not None:
                await run.left(models)
            raise
        except Exception as error:
            await sender.quiet()
            if not exchange.status:
                raise
            if not isinstance(error, GenAIStackError):
                log.unexpected(exchange, error)
                error = EngineFailed("Something broke in here; send the request again.")
            exchange.broken = True
            told = run is not None and sender.number
            last = (
                {"type": "response.failed", "response": run.failed(error)}
                if run and told
                else error_event(error)
            )
        finally:
            sender.stop()
            if run is not None:
                exchange.used, exchange.served = run.used, run.served
        await sender.quiet()
        await sender.send(last)
        await exchange.finish()

    async def _behind(
        exchange: Exchange,
        background: Background,
        asked: Asked,
        claim: Claim,
        key: bytes | None,
        wait: float | None,
        place: ExitStack,
    ) -> None:
        response = opened(claim.id, asked.request, "queued")
        streamed = bool(asked.request.stream)
        kept, new = await asyncio.to_thread(
            responses.queue, asked.by.tenant, claim, key, response, asked.given, streamed
        )
        live = None
        if new:  # else the same request came twice at once, and the other one runs it
            admission, exchange.admission, exchange.charged = exchange.admission, None, True

            async def ready() -> Run:
                return await answering.run(asked, response, admission, wait=wait)

            live = background.start(
                Order(asked.by, asked.request, response, asked.given, asked.version, admission, ready, wait)
            )
            place.pop_all()  # it is the response's now
        place.close()
        if not streamed:
            await exchange.answer(200, msgspec.json.encode(kept))
        elif live is not None:
            await _followed(exchange, live, 0)
        else:
            await _followed_later(exchange, claim.id, 0)

    async def _followed(exchange: Exchange, live: Live, start: int) -> None:
        with UntilGone(exchange):
            async with aclosing(live.follow(start)) as events:
                await replay(exchange, events, keep_alive)
        await exchange.finish()

    async def show(exchange: Exchange) -> None:
        given = query(exchange, "stream", "starting_after", "include_obfuscation", many="include")
        include = included(given)
        if given.get("include_obfuscation", "false") != "false":
            raise _invalid("include_obfuscation", "isn't supported; send false or leave it out")
        if _flag(given, "stream"):
            await _followed_later(exchange, path_id(exchange), _number(given))
            return
        if "starting_after" in given:
            raise _invalid("starting_after", "goes with 'stream=true' only; leave it out")
        stored = await asyncio.to_thread(responses.get, tenant(exchange), path_id(exchange))
        shown = await asyncio.to_thread(responses.shown, stored, include)
        await exchange.answer(200, msgspec.json.encode(shown))

    async def _followed_later(exchange: Exchange, id: str, start: int) -> None:
        owner = tenant(exchange)
        stored = await asyncio.to_thread(responses.get, owner, id)
        if not stored.streamed:
            raise _invalid("stream", "goes with a response made with 'background: true' and 'stream: true'")
        live = background.find(id) if background is not None else None
        if live is not None:
            await _followed(exchange, live, start)
            return
        stored = await asyncio.to_thread(responses.get, owner, id)
        if not stored.ended:
            raise Conflict(
                "This response runs in another process of the API; retrieve it without 'stream'.",
                code="runs_elsewhere",
            )
        told = await asyncio.to_thread(responses.events, stored)
        shown = await asyncio.to_thread(responses.shown, stored)
        await replay(exchange, _told(told, stored, shown, start), keep_alive)
        await exchange.finish()

    async def cancel(exchange: Exchange) -> None:
        await intake.body(exchange, max_body_bytes)
        stored = await asyncio.to_thread(responses.cancel, tenant(exchange), path_id(exchange))
        if background is not None:
            await background.gone(stored.id)
        shown = await asyncio.to_thread(responses.shown, stored)
        await exchange.answer(200, msgspec.json.encode(shown))

    async def delete(exchange: Exchange) -> None:
        id = path_id(exchange)
        await asyncio.to_thread(responses.delete, tenant(exchange), id)
        await exchange.answer(200, msgspec.json.encode(ResponseDeleted(id)))

    async def input_items(exchange: Exchange) -> None:
        given = query(exchange, "after", "limit", "order", many="include")
        asked, results = page(given, default=20, most=100), RESULTS in included(given)
        found = await asyncio.to_thread(
            responses.input_items, tenant(exchange), path_id(exchange), asked, results=results
        )
        await exchange.answer(200, msgspec.json.encode(found))

    return {
        RESPONSES: {"POST": create},
        f"{RESPONSES}/{{id}}": {"GET": show, "DELETE": delete},
        f"{RESPONSES}/{{id}}/cancel": {"POST": cancel},
        f"{RESPONSES}/{{id}}/input_items": {"GET": input_items},
    }


async def _again(exchange: Exchange, request: ResponseRequest, response: Response) -> None:
    """A create that was sent before: what it made, as far as it is."""
    if not request.stream:
        await exchange.answer(200, msgspec.json.encode(response))
        return
    kind = response.status if response.status in ("completed", "incomplete", "failed") else "in_progress"
    events = [{"type": f"response.{kind}", "response": response} for kind in ("created", kind)]
    data = b"".join(encoded(event, number) for number, event in enumerate(events))
    await exchange.answer(200, data, kind=b"text/event-stream; charset=utf-8")


async def _told(
    told: bytes | None, stored: StoredResponse, shown: Response, start: int
) -> AsyncIterator[bytes]:
    """The events from number `start` on, as they were sent; of a response whose events went with its process, the
    end."""
    if told is not None:
        for data in told.split(b"\n\n")[:-1][start:]:
            yield data + b"\n\n"
        return
    if not start:
        yield encoded({"type": "response.created", "response": shown}, 0)
        start = 1
    ending = CANCELLED if stored.status == "cancelled" else {"type": "response.failed", "response": shown}
    yield encoded(ending, start)


def included(given: dict[str, str]) -> tuple[str, ...]:
    """Raises RequestError."""
    names = tuple(given["include"].split(",")) if "include" in given else ()
    for name in names:
        if name not in INCLUDABLE:
            raise _invalid("include", f"is some of {', '.join(INCLUDABLE)}")
    return names


def _flag(given: dict[str, str], name: str) -> bool:
    value = given.get(name, "false")
    if value not in ("true", "false"):
        raise _invalid(name, "is true or false")
    return value == "true"


def _number(given: dict[str, str]) -> int:
    """Of the first event to send."""
    value = given.get("starting_after")
    if value is None:
        return 0
    if not re.fullmatch("[0-9]{1,9}", value):
        raise _invalid("starting_after", "is the sequence_number of the last event you have")
    return int(value) + 1


def _invalid(name: str, what: str) -> RequestError:
    return RequestError(f"'{name}' {what}.", param=name, code="invalid_value")


def _frozen() -> RequestError:
    return RequestError(
        "'background' isn't supported on a stage: nothing runs there when a request has been answered; "
        "send false, or 'stream: true'.",
        param="background",
        code="unsupported_parameter",
    )
