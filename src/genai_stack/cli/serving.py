"""The running stack: lock, port, application, the first model, and a clean end."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from .. import settings, wiring
from ..config import StackConfig
from ..errors import AlreadyRunning, ConfigError, GenAIStackError
from ..local.home import Home, Occupancy
from ..ports import Services
from ..service.app import build_app
from ..service.keys import ApiKeys
from .banner import show_banner

if TYPE_CHECKING:
    from ..service.telemetry import Telemetry

BACKLOG = 2048
GRACE_SECONDS = 10
"""What requests in flight get to finish after Ctrl-C; a second Ctrl-C ends them."""


def serve(home: Path, host: str, port: int, config: StackConfig, *, stop_with_parent: bool = False) -> None:
    """Serves the stack of `home` until SIGINT, SIGTERM or, if asked, the end of standard input.

    Raises AlreadyRunning when the home or the port is in use, and what the default model raises when it can't be
    brought up.
    """
    place = Home(home)
    with place.lock() as occupancy, _bound(host, port) as listener:
        key = settings.api_key() or place.key()
        services = wiring.local_services(home, config)
        app = build_app(services, keys=ApiKeys(services.records, key), config=config, telemetry=_telemetry())
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=_available("httptools", "h11"),
                ws="none",
                lifespan="on",
                access_log=False,
                log_config=None,
                server_header=False,
                date_header=True,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        _stop_on_signals(server)
        if stop_with_parent:
            threading.Thread(target=_stop_at_end_of_input, args=(server,), daemon=True).start()
        run(
            _serve(
                server, listener, services, config, lambda url: _announce(occupancy, url, key, config, place)
            )
        )


async def _serve(
    server: uvicorn.Server,
    listener: socket.socket,
    services: Services,
    config: StackConfig,
    announce: Callable[[str], None],
) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        if config.default_model is not None:
            await _unless_stopped(server, services.models.deploy(config.default_model))
        if not server.should_exit:
            announce(_base_url(listener))
    finally:
        if sys.exc_info()[0] is not None:
            server.should_exit = True
        await serving


async def _unless_stopped(server: uvicorn.Server, work: Any) -> None:
    """Waits for `work`, but no longer than the server is wanted."""
    task = asyncio.ensure_future(work)
    while not task.done() and not server.should_exit:
        await asyncio.wait((task,), timeout=0.05)
    if task.done():
        task.result()
    else:
        task.cancel()
        await asyncio.wait((task,))


def _announce(occupancy: Occupancy, url: str, key: str, config: StackConfig, home: Home) -> None:
    occupancy.announce(url)
    show_banner(url, key, config, home.path)


def _telemetry() -> Telemetry | None:
    """Raises ConfigError."""
    signals = settings.telemetry()
    if signals is None:
        return None
    try:
        from ..service.telemetry import started

        return started(signals)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"OTEL_… asks for telemetry, which needs {error.name}; run: pip install 'genai-stack[otel]'"
        ) from None


def run(main: Any) -> None:
    """On uvloop where there is one."""
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if find_spec("uvloop"):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


def _bound(host: str, port: int) -> socket.socket:
    """A listening socket. Raises AlreadyRunning when the port is taken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise GenAIStackError(f"can't listen on {host}: {error.strerror or error}") from None
    try:
        if sys.platform != "win32":  # there it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        return listener
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise AlreadyRunning(
                f"port {port} of {host} is in use; give another --port, or 0 for a free one"
            ) from None
        raise GenAIStackError(f"can't listen on {host}:{port}: {error.strerror}") from None


def _base_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{reachable}]' if ':' in reachable else reachable}:{port}/v1"


def _stop_on_signals(server: uvicorn.Server) -> None:
    """From now on a signal is a wish. uvicorn takes signals over while it serves, and raises what it caught again
    when it is done: then these find nothing left to do."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def _stop_at_end_of_input(server: uvicorn.Server) -> None:
    while os.read(0, 4096):
        pass
    server.should_exit = True


def _available(*modules: str) -> Any:
    return next(module for module in modules if find_spec(module))
