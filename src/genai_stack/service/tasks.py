"""/v1/tasks/…: ready-made tasks. What a model answers is read and typed here, unlike the routes that pass bytes on."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec

from ..config import StackConfig
from ..errors import EngineFailed, GenAIStackError, NotFound
from ..ports import ModelHost
from ..protocol import decode, problems
from ..protocol.refusals import refusal
from ..protocol.stores import SearchRequest, SearchResult
from ..protocol.task_replies import TaskDelta, TaskReply
from ..protocol.tasks import AnswerRequest
from ..task_prompts import Task
from ..tasks.model import Model, Tell
from ..tasks.run import KINDS, new_id, run
from ..tasks.run import ROUTES as ROUTES
from ..tasks.sources import Search
from . import intake, log
from .answers import Answers
from .catalogue import Catalogue
from .charging import Charges
from .exchange import ClientGone, Exchange, Handler, UntilGone
from .limits import Limiter
from .load import Load
from .prices import Prices
from .principal import Principal
from .resources.asked import idempotency_key, principal
from .resources.searching import Searching
from .streaming import EVENT_STREAM, Pulse
from .unanswered import read_of
from .usage import Used


class Ready(NamedTuple):
    """What a task does with a model, once it may. `size` is that of what it reads beside the request, in bytes."""

    run: Callable[[Model, str, Tell | None, Search | None], Awaitable[TaskReply]]
    size: int = 0


Prepare = Callable[[Any, Principal, bytes | None], Awaitable[Ready]]
"""For a request, who sent it, and its Idempotency-Key."""


class Tools(NamedTuple):
    """What every task works with."""

    models: ModelHost
    catalogue: Catalogue
    limiter: Limiter
    prices: Prices
    charges: Charges
    answers: Answers
    load: Load
    config: StackConfig
    searching: Searching | None
    keep_alive: float


def perform(route: str, tools: Tools) -> Handler:
    task = ROUTES[route]
    prompt = tools.config.tasks.prompt(task)

    async def prepare(request: Any, who: Principal, key: bytes | None) -> Ready:
        return Ready(
            lambda model, id, tell, search: run(model, prompt, request, id=id, tell=tell, search=search)
        )

    return performed(task, route, KINDS[task], prepare, tools)


def performed(task: Task, route: str, kind: type[Any], prepare: Prepare, tools: Tools) -> Handler:
    models, config = tools.models, tools.config
    usual = config.tasks.of(task).model

    async def handle(exchange: Exchange) -> None:
        body = await intake.body(exchange, config.service.max_body_bytes)
        wait = intake.patience(exchange)
        key = idempotency_key(exchange)
        request = decode(kind, body)
        who = principal(exchange)
        name = request.model or usual or await _first_chat(tools.catalogue, who)
        who.check_model(name)
        looked_up = _searched(exchange, request, who, tools.searching, tools.charges, wait)
        version = await tools.catalogue.find_for(name, "chat")
        exchange.model, exchange.base = version.name, version.base

        async def answer(stays: bool) -> None:
            await tools.load.enter()
            try:
                price = tools.prices.of(version.name, version.base)
                await tools.limiter.admit(exchange, who, request, len(body), price)
                ready = await prepare(request, who, key)
                if ready.size:
                    await tools.limiter.widen(exchange, request, len(body) + ready.size, price)
                model = Model(models, version.name, refusal, request, wait=wait)
                try:
                    await ask(exchange, model, ready, request, looked_up, stays)
                except ClientGone:
                    left = await read_of(models, version.name, model.unanswered)
                    exchange.used = exchange.used._replace(prompt=exchange.used.prompt + left.prompt)
                    raise
            finally:
                tools.load.leave(exchange.served)

        if key is None:
            await answer(stays=False)
            return
        # With a key the answer is wanted later, if not now: whoever comes again finds it.
        asking = partial(answer, stays=True)
        await tools.answers.once(exchange, who.tenant, key, route.encode() + b"\n" + body, asking)

    async def ask(
        exchange: Exchange, model: Model, ready: Ready, request: Any, looked_up: Search | None, stays: bool
    ) -> None:
        id = new_id()

        async def work(tell: Tell | None = None) -> TaskReply:
            try:
                return await ready.run(model, id, tell, looked_up)
            finally:
                exchange.used = Used(model.prompt, model.completion, model.cached)
                exchange.served = model.served

        if request.stream:
            await _stream(exchange, work, id, model.name, tools.keep_alive)
            return
        with UntilGone(exchange, stays=stays):
            reply = await work()
        await exchange.answer(200, msgspec.json.encode(reply))
        if exchange.gone:
            raise ClientGone

    return handle


async def _first_chat(catalogue: Catalogue, who: Principal) -> str:
    """The first chat model that the key may use. Raises NotFound."""
    for version in await catalogue.all():
        if version.task == "chat" and who.may_use(version.name):
            return version.name
    raise NotFound(
        "There is no chat model for this key; name one in stack.toml, or another key.",
        param="model",
        code="model_not_found",
    )


def _searched(
    exchange: Exchange,
    request: Any,
    who: Principal,
    searching: Searching | None,
    charges: Charges,
    wait: float | None,
) -> Search | None:
    """Raises Forbidden, and NotFound where there are no vector stores."""
    if not isinstance(request, AnswerRequest) or request.vector_store_id is None:
        return None
    who.check_scope("files")
    if searching is None:
        raise NotFound(
            "There are no vector stores here; send `passages` or `documents`.",
            param="vector_store_id",
            code="no_vector_stores",
        )

    async def find(store: str, asked: SearchRequest) -> list[SearchResult]:
        began = time.perf_counter()
        try:
            page, model, read = await searching.search(who.tenant, store, asked, wait=wait)
        except NotFound as error:
            error.param = "vector_store_id"
            raise
        charges.search(
            what=exchange.request_id.decode(),
            by=who,
            admission=exchange.admission,
            model=model,
            tokens=read,
            seconds=time.perf_counter() - began,
        )
        return page.data

    return find


async def _stream(
    exchange: Exchange,
    work: Callable[[Tell | None], Awaitable[TaskReply]],
    id: str,
    model: str,
    keep_alive: float,
) -> None:
    """Deltas as they come, then the whole answer, then `[DONE]`. Raises the error while nothing has been sent; after
    that it is the stream's last event."""
    pulse = Pulse(exchange, keep_alive)
    clock = asyncio.get_running_loop().time
    problem: GenAIStackError | None = None
    last = b""

    async def tell(piece: str) -> None:
        pulse.silent_since = math.inf
        await exchange.open_stream(EVENT_STREAM)
        await exchange.write(_event(TaskDelta(id, model, piece)))
        pulse.silent_since = clock()

    try:
        with UntilGone(exchange):
            last = _event(await work(tell))
    except ClientGone:
        raise
    except Exception as error:
        await pulse.settle()
        if not exchange.status:
            raise
        if not isinstance(error, GenAIStackError):
            log.unexpected(exchange, error)
        problem = error if isinstance(error, GenAIStackError) else _unexpected()
        exchange.broken = True
        last = problems.event(problem)
    finally:
        pulse.stop()
    await pulse.settle()
    await exchange.open_stream(EVENT_STREAM)
    await exchange.write(last)
    if problem is None:
        await exchange.write(problems.DONE)
    await exchange.finish()


def _event(told: TaskDelta | TaskReply) -> bytes:
    return b"data: " + msgspec.json.encode(told) + b"\n\n"


def _unexpected() -> EngineFailed:
    return EngineFailed(
        "Something broke in the middle of the answer; send the request again.", code="internal_error"
    )
