"""The model server over HTTP: SageMaker's container contract, and adapters by its convention.

GET /ping · POST /invocations · GET, POST /adapters · DELETE /adapters/{name} · GET /metrics
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .. import settings
from ..errors import (
    AlreadyRunning,
    GenAIStackError,
    InvalidModel,
    MethodNotAllowed,
    NotDeployedError,
    NotFound,
    RequestError,
)
from ..protocol import problems
from .fleet import Fleet, Limits
from .invocations import Invocations


class _AdapterBody(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    src: Annotated[str, msgspec.Meta(min_length=1)]
    preload: bool = True
    pin: bool = False


def build_app(fleet: Fleet) -> Starlette:
    """The ASGI application; the engine starts and ends with its lifespan."""
    invocations = Invocations(fleet)

    async def ping(_: Request) -> Response:
        """200 while the base model is up; 503 while it loads, or after its engine died and until it is back."""
        if fleet.base.engine.up:
            return _json({"status": "ready", "model": fleet.base.name})
        return _problem(NotDeployedError("The model is loading; ask again in a moment.", code="model_loading"))

    async def list_adapters(_: Request) -> Response:
        listed = [
            {"name": a.name, "src": a.src, "loaded": a.served is not None} for a in fleet.adapters.values()
        ]
        return _json({"adapters": listed})

    async def load_adapter(request: Request) -> Response:
        try:
            body = msgspec.json.decode(await request.body(), type=_AdapterBody)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise RequestError(
                f"The body isn't usable: {error}; send {{'name', 'src'}}.", code="invalid_json"
            ) from error
        try:
            await fleet.load(body.name, body.src)
        except InvalidModel as error:
            raise RequestError(error.message, param="src", code="invalid_model") from error
        return _json({"name": body.name, "src": body.src, "loaded": True})

    async def unload_adapter(request: Request) -> Response:
        name = request.path_params["name"]
        await fleet.unload(name)
        return _json({"name": name, "deleted": True})

    async def metrics(_: Request) -> Response:
        return Response(_metrics(fleet, invocations), media_type="text/plain; version=0.0.4")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        fleet.start()
        try:
            yield
        finally:
            await fleet.close()

    routes = [
        Route("/ping", ping, methods=["GET"]),
        Route("/invocations", invocations, methods=["POST"]),
        Route("/adapters", list_adapters, methods=["GET"]),
        Route("/adapters", load_adapter, methods=["POST"]),
        Route("/adapters/{name:path}", unload_adapter, methods=["DELETE"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]
    handlers = {GenAIStackError: _on_error, HTTPException: _on_http}
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)  # type: ignore[arg-type]


def run(
    source: str,
    *,
    name: str,
    host: str = "127.0.0.1",
    port: int = 8080,
    home: Path | None = None,
    limits: Limits | None = None,
    on_listening: Callable[[int], None] | None = None,
    until_stdin_ends: bool = False,
) -> None:
    """Serves the model `source` (as `sources.resolve` takes it) under `name` until SIGINT or SIGTERM, or until stdin
    ends where that is asked for.

    `port` 0 takes a free one; `on_listening` is told which, before the model is loaded (`/ping` tells when it is).
    `home` holds compiled models. Raises InvalidModel, and AlreadyRunning when the port is taken.
    """
    fleet = Fleet(source, name, home or settings.home(), limits or Limits())
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise AlreadyRunning(
                f"{host}:{port} can't be used: {error.strerror}; choose another port"
            ) from error
        listener.listen(2048)
        if on_listening:
            on_listening(listener.getsockname()[1])
        config = uvicorn.Config(
            build_app(fleet), log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=5
        )
        server = uvicorn.Server(config)
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_serve(server, fleet, listener, until_stdin_ends))
    if fleet.base.engine.refusal:
        raise fleet.base.engine.refusal


async def _serve(server: uvicorn.Server, fleet: Fleet, listener: socket.socket, until_stdin_ends: bool) -> None:
    """Ends when the server is told to, stdin ends, or the model turns out to be unusable."""
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    watches = [asyncio.create_task(_refused(fleet))]
    if until_stdin_ends:
        watches.append(asyncio.create_task(_stdin_ended()))
    await asyncio.wait([serving, *watches], return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving
    for watch in watches:
        watch.cancel()
    await asyncio.gather(*watches, return_exceptions=True)


async def _refused(fleet: Fleet) -> None:
    with contextlib.suppress(InvalidModel):
        await fleet.base.engine.ready()
        await asyncio.Event().wait()


async def _stdin_ended() -> None:
    """Returns when nobody holds the other end of stdin any more, however it went away."""
    ended = asyncio.Event()

    def read() -> None:
        if not os.read(0, 4096):
            ended.set()

    loop = asyncio.get_running_loop()
    loop.add_reader(0, read)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(0)


def _metrics(fleet: Fleet, invocations: Invocations) -> str:
    """Prometheus text."""
    models = [fleet.base, *(a.served for a in fleet.adapters.values() if a.served)]
    lines = [
        "# TYPE genai_stack_model_requests_total counter",
        f"genai_stack_model_requests_total {invocations.requests}",
        "# TYPE genai_stack_model_failures_total counter",
        f"genai_stack_model_failures_total {invocations.failures}",
    ]
    for metric, kind, value in (
        ("up", "gauge", lambda engine: int(engine.up)),
        ("running", "gauge", lambda engine: engine.running),
        ("waiting", "gauge", lambda engine: engine.waiting),
        ("generated_tokens_total", "counter", lambda engine: engine.tokens),
        ("engine_restarts_total", "counter", lambda engine: engine.restarts),
    ):
        lines.append(f"# TYPE genai_stack_model_{metric} {kind}")
        for model in models:
            label = model.name.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
            lines.append(f'genai_stack_model_{metric}{{model="{label}"}} {value(model.engine)}')
    return "\n".join(lines) + "\n"


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _problem(error: GenAIStackError) -> Response:
    response = _json(error.body(), error.status)
    for key, value in problems.headers(error):
        response.headers[key] = value
    return response


async def _on_error(_: Request, error: GenAIStackError) -> Response:
    return _problem(error)


async def _on_http(request: Request, error: HTTPException) -> Response:
    if error.status_code == 405:
        return _problem(MethodNotAllowed(f"{request.url.path} doesn't take {request.method}."))
    return _problem(NotFound(f"There is nothing at {request.url.path}; POST /invocations carries every route."))
