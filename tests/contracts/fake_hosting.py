"""A model server without a model: the contract of `genai_stack.hosting` over an echo.

What goes wrong is said in the source (`slow:SECONDS`, `broken`, `mute`, `refused`) or in a request. Runs as
`python -m fake_hosting SOURCE --name N …`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path

from aiohttp import web

parser = argparse.ArgumentParser()
parser.add_argument("source")
parser.add_argument("--name")
parser.add_argument("--port", type=int)
parser.add_argument("--announce", action="store_true")
parser.add_argument("--home", type=Path)
given, _ = parser.parse_known_args()
adapters: dict[str, str] = {}
begun = time.monotonic()
loading = float(given.source.partition(":")[2]) if given.source.startswith("slow:") else 0.05


def note(what: str) -> None:
    """Tells the tests: one word a line, with our pid."""
    with (given.home / "notes").open("a") as file:
        file.write(f"{what} {os.getpid()}\n")


def problem(status: int, code: str) -> web.Response:
    error = {"message": f"fake {code}", "type": "invalid_request_error", "param": None, "code": code}
    return web.json_response({"error": error}, status=status)


async def ping(request: web.Request) -> web.Response:
    return web.Response(status=200 if time.monotonic() - begun > loading else 503)


async def add(request: web.Request) -> web.Response:
    body = await request.json()
    if body["src"] == "/bad":
        return problem(400, "invalid_model")
    if adapters.setdefault(body["name"], body["src"]) != body["src"]:
        return problem(409, "conflict")
    note("attach")
    return web.json_response({"name": body["name"]})


async def remove(request: web.Request) -> web.Response:
    return web.Response(status=204 if adapters.pop(request.match_info["name"], None) else 404)


async def index(request: web.Request) -> web.Response:
    return web.json_response(
        {"adapters": [{"name": name, "src": src, "loaded": True} for name, src in adapters.items()]}
    )


async def invocations(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    note("request")
    if body["model"] not in (given.name, *adapters):
        return problem(404, "model_not_found")
    match body.get("fake"):
        case "evict":
            adapters.pop(body["model"], None)
        case "die":
            os._exit(9)
        case "hang up":
            assert request.transport
            request.transport.abort()
            return web.Response()
        case "busy":
            return problem(429, "rate_limit_exceeded")
        case "missing":
            return problem(404, "not_found")
    if not body.get("stream"):
        route = request.headers["X-Amzn-SageMaker-Custom-Attributes"]
        return web.json_response(
            {"model": body["model"], "route": route, "adapter": adapters.get(body["model"])}
        )
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    try:
        for n in range(body.get("chunks", 3)):
            await answer.write(b'data: {"n": %d}\n\n' % n)
            if n == body.get("die_after"):
                os._exit(9)
            await asyncio.sleep(body.get("pause", 0))
        await answer.write(b"data: [DONE]\n\n")
    except (asyncio.CancelledError, ConnectionError):
        note("cancelled")
        raise
    return answer


async def main() -> None:
    app = web.Application()
    app.add_routes(
        [
            web.get("/ping", ping),
            web.post("/invocations", invocations),
            web.get("/adapters", index),
            web.post("/adapters", add),
            web.delete("/adapters/{name}", remove),
        ]
    )
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", given.port)
    await site.start()
    note("start")
    if given.source == "refused":
        print(json.dumps({"error": {"message": "pickled weights"}}), flush=True)
        sys.exit(2)
    if given.source == "mute":
        print("no such file: config.json", file=sys.stderr)
        sys.exit(1)
    print(json.dumps({"port": runner.addresses[0][1], "pid": os.getpid()}), flush=True)
    if given.source == "broken":
        print("the weights are of another shape", file=sys.stderr)
        os._exit(1)
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def watch() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=watch, daemon=True).start()
    await ended.wait()
    note("end")
    await runner.cleanup()


asyncio.run(main())
