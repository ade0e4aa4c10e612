"""The ASGI application: which route is answered by what, and what happens around every request.

    request id → route → key → body, within the limit → validation → model → the model's host → log, metrics and ledger

Plain ASGI all the way: no middleware stack, no request or response objects, one task per inference request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from ..config import StackConfig
from ..errors import GenAIStackError, MethodNotAllowed, NotFound
from ..ports import Services
from . import (
    assistant,
    health,
    intake,
    key_routes,
    log,
    media,
    models,
    moderating,
    openapi,
    reranking,
    tasks,
    usage_routes,
)
from .answers import Answers
from .catalogue import Catalogue
from .charging import RESPONSES, Charges
from .exchange import CLIENT_GONE, ClientGone, Exchange, Handler, stopping
from .inference import ROUTES, forward
from .keys import ApiKeys
from .ledger import Ledger
from .limits import Limiter
from .load import Load
from .metrics import CONTENT_TYPE, Metrics
from .prices import Prices
from .principal import KeyScope
from .ranker import Ranker
from .resources.once import Once
from .resources.table import resources
from .responses.table import talk
from .usage import NOTHING
from .videos.routes import films

if TYPE_CHECKING:
    from .telemetry import Telemetry  # which loads OpenTelemetry

KEEP_ALIVE_SECONDS = 10.0
SETTLE_SECONDS = 60.0
"""How long a request waits for the indexing that goes on, where nothing goes on between requests."""
_EXCHANGE = "genai_stack.exchange"
logger = logging.getLogger("genai_stack.service")
_CHARGED = frozenset((*ROUTES, *tasks.ROUTES, assistant.ROUTE, RESPONSES))
"""The routes whose requests go into the ledger, whatever became of them."""


def build_app(
    services: Services,
    *,
    keys: ApiKeys,
    config: StackConfig = StackConfig(),  # noqa: B008 - frozen
    keep_alive: float = KEEP_ALIVE_SECONDS,
    telemetry: Telemetry | None = None,
    stage: str | None = None,
    freezes: bool = False,
) -> ASGIApp:
    """The API over `services`. `keep_alive` is the silence, in seconds, after which a stream gets a comment. With
    `stage` the log's lines tell CloudWatch that stage's metrics. `freezes`: the process stands still between requests,
    as a Lambda function does, so that what others do in the background is done before an answer ends, and no
    response is made there.

    When the server stops it closes `services.models`, in the event loop that used it, gives back what it holds of keys'
    limits and writes what the ledger holds.
    """
    catalogue = Catalogue(services.registry)
    ledger = Ledger(services.records)
    prices, limiter = Prices(config.prices), Limiter(services.records, config.tenants)
    charges = Charges(ledger, prices, limiter)
    answers, metrics = Answers(services.records), Metrics()
    load = Load(config.service.max_concurrent, config.service.max_wait_seconds, metrics)

    def guarded(handler: Handler, scope: KeyScope | None) -> Handler:
        async def handle(exchange: Exchange) -> None:
            exchange.principal = await keys.verify(intake.bearer(exchange))
            if scope is not None:
                exchange.principal.check_scope(scope)
            await handler(exchange)

        return handle

    async def exposition(exchange: Exchange) -> None:
        await exchange.answer(200, metrics.render(), kind=CONTENT_TYPE)

    def asked(handler: Handler) -> Handler:
        """For a key that may ask models, while the ledger can be written and the process isn't late."""

        async def counted(exchange: Exchange) -> None:
            ledger.check()
            load.check()
            await handler(exchange)

        return guarded(counted, "inference")

    def posted(route: str) -> Handler:
        limit = config.service.max_body_bytes
        return asked(
            forward(
                route,
                services.models,
                catalogue,
                limiter,
                prices,
                answers,
                load,
                max_body_bytes=limit,
                keep_alive=keep_alive,
            )
        )

    table: dict[str, dict[str, Handler]] = {route: {"POST": posted(route)} for route in ROUTES}
    ranker, most = Ranker(services.models), config.service.max_body_bytes
    asking = media.Asking(services.models, catalogue, limiter, prices, load, answers, most)
    table[reranking.ROUTE] = {"POST": asked(reranking.reranked(ranker, asking))}
    table |= {path: {"POST": asked(handler)} for path, handler in media.routes(asking).items()}
    table[moderating.ROUTE] = {"POST": asked(moderating.moderated(asking))}
    table["/v1/models"] = {"GET": guarded(models.listed(catalogue), None)}
    table["/v1/models/{model:path}"] = {
        "GET": guarded(models.shown(catalogue), None),
        "DELETE": guarded(models.deleted(catalogue, services.models), "files"),
    }
    table["/v1/usage"] = {"GET": guarded(usage_routes.shown(services.records), None)}
    administered = key_routes.routes(keys, Once(services.records), config.service.max_body_bytes)
    for path, methods in administered.items():
        table[path] = {method: guarded(handler, "admin") for method, handler in methods.items()}
    kept = resources(services, config, charges, limiter, settle=SETTLE_SECONDS if freezes else 0.0)
    for path, methods in kept.routes.items():
        table[path] = {method: guarded(handler, "files") for method, handler in methods.items()}
    told = talk(
        services,
        config,
        catalogue,
        limiter,
        prices,
        charges,
        load,
        kept.searching,
        keep_alive=keep_alive,
        lasting=not freezes,
    )
    for path, methods in told.routes.items():
        table[path] = {method: guarded(handler, "inference") for method, handler in methods.items()}
    filmed = films(services, config, catalogue, limiter, prices, charges, load, kept.files, lasting=not freezes)
    for path, methods in filmed.routes.items():
        table[path] = {method: guarded(handler, "inference") for method, handler in methods.items()}
    tools = tasks.Tools(
        services.models,
        catalogue,
        limiter,
        prices,
        charges,
        answers,
        load,
        config,
        kept.searching,
        keep_alive,
    )
    table |= {route: {"POST": asked(tasks.perform(route, tools))} for route in tasks.ROUTES}
    table[assistant.ROUTE] = {"POST": asked(assistant.assisted(tools, told.conversations))}
    table["/health"] = {"GET": health.health}
    table["/ready"] = {"GET": health.ready(services.models, config)}
    table["/metrics"] = {"GET": exposition}
    table["/openapi.json"] = {"GET": openapi.described}

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_swept(kept.sweep, filmed.sweep))
        yield
        await sweeping
        await told.close()
        await filmed.close()
        await kept.close()
        await services.models.close()
        await limiter.close()
        await ledger.close()
        if telemetry is not None:
            await asyncio.to_thread(telemetry.close)

    routes = [Route(template, _Endpoint(template, methods)) for template, methods in table.items()]
    router = Router(routes, redirect_slashes=False, default=_unknown, lifespan=lifespan)
    return _around(router, metrics, charges, telemetry, stage, ledger.settled if freezes else None)


async def _swept(*sweeps: Callable[[], None]) -> None:
    """What isn't swept now is at the next start."""
    for sweep in sweeps:
        try:
            await asyncio.to_thread(sweep)
        except Exception as error:
            logger.error('{"event":"unswept","error":"%s"}', type(error).__qualname__)


class _Endpoint:
    """One path and its handler per method. HEAD is answered as GET, OPTIONS with what is allowed."""

    def __init__(self, template: str, methods: dict[str, Handler]) -> None:
        self._template = template
        self._handlers = {**methods, "HEAD": methods["GET"]} if "GET" in methods else methods
        self._allowed = ", ".join(sorted((*self._handlers, "OPTIONS")))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope[_EXCHANGE]
        exchange.route = self._template
        exchange.path_params = scope["path_params"]
        if (handler := self._handlers.get(exchange.method)) is not None:
            await handler(exchange)
            return
        allow = [(b"allow", self._allowed.encode())]
        if exchange.method == "OPTIONS":
            await exchange.answer(200, b"", headers=allow)
            return
        await exchange.refuse(
            MethodNotAllowed(f"This path doesn't take that method; it takes {self._allowed}."), headers=allow
        )


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotFound(
        "There is nothing at this path; GET /openapi.json lists what there is.", code="unknown_route"
    )


def _around(
    router: Router,
    metrics: Metrics,
    charges: Charges,
    telemetry: Telemetry | None,
    stage: str | None,
    written: Callable[[], Awaitable[None]] | None,
) -> ASGIApp:
    """Errors become answers; every request is counted, charged and logged once, whatever became of it. It is charged
    before its answer ends where `written` is to be awaited then."""

    def charge(exchange: Exchange) -> bool:
        if exchange.charged or exchange.principal is None:
            return False
        asked_a_model = exchange.route in _CHARGED or exchange.model is not None
        if not asked_a_model and exchange.used == NOTHING:
            return False
        exchange.charged = True
        charges.request(exchange, time.perf_counter() - exchange.started)
        return True

    async def charge_and_wait(exchange: Exchange) -> None:
        if charge(exchange) and written is not None:
            await written()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            await router(scope, receive, send)
            return
        exchange = scope[_EXCHANGE] = Exchange(scope, receive, send)
        if written is not None:
            exchange.before_end = partial(charge_and_wait, exchange)
        metrics.in_flight += 1
        try:
            await router(scope, receive, send)
        except ClientGone:
            exchange.status = CLIENT_GONE
        except asyncio.CancelledError:  # only the server cancels a request, when it stops
            if not exchange.status:
                await exchange.refuse(stopping())
        except GenAIStackError as error:
            await exchange.refuse(error)
        except Exception as error:
            log.unexpected(exchange, error)
            if not exchange.status:
                await exchange.refuse(_unexpected(exchange))
        finally:
            metrics.in_flight -= 1
            seconds = time.perf_counter() - exchange.started
            metrics.record(
                exchange.route,
                exchange.status,
                seconds,
                exchange.first_byte,
                exchange.used.prompt,
                exchange.used.completion,
            )
            await charge_and_wait(exchange)
            if telemetry is not None and exchange.principal is not None:
                telemetry.record(exchange, seconds)
            log.access(exchange, seconds, stage if exchange.route in ROUTES else None)

    return app


def _unexpected(exchange: Exchange) -> GenAIStackError:
    return GenAIStackError(
        f"Something broke in here; try again, and quote {exchange.request_id.decode()} if it stays so.",
        code="internal_error",
    )
