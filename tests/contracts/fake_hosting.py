"""A model server without a model: the contract of `genai_stack.hosting` over an echo. Light, since the tests
start it often.

What goes wrong is said in the source (`slow:SECONDS`, `broken`, `mute`, `refused`) or in a request. Runs as
`python -m fake_hosting SOURCE --name N …`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from asyncio import StreamReader, StreamWriter
from pathlib import Path
from typing import Any
from urllib.parse import unquote

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


def problem(status: int, code: str) -> tuple[int, Any]:
    error = {"message": f"fake {code}", "type": "invalid_request_error", "param": None, "code": code}
    return status, {"error": error}


def answer(method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
    """Everything but streams."""
    if path == "/ping":
        return (200 if time.monotonic() - begun > loading else 503), {}
    if path == "/invocations":
        return echo(headers, body)
    if method == "GET":
        return 200, {"adapters": [{"name": n, "src": src, "loaded": True} for n, src in adapters.items()]}
    if method == "DELETE":
        return (200 if adapters.pop(unquote(path.removeprefix("/adapters/")), None) else 404), {}
    if body["src"] == "/bad":
        return problem(400, "invalid_model")
    if adapters.setdefault(body["name"], body["src"]) != body["src"]:
        return problem(409, "conflict")
    note("attach")
    return 200, {"name": body["name"]}


def echo(headers: dict[str, str], body: Any) -> tuple[int, Any]:
    note("request")
    model = body["model"]
    if model not in (given.name, *adapters):
        return problem(404, "model_not_found")
    match body.get("fake"):
        case "evict":
            adapters.pop(model, None)
        case "die":
            os._exit(9)
        case "busy":
            return problem(429, "rate_limit_exceeded")
        case "missing":
            return problem(404, "not_found")
    route = headers["x-amzn-sagemaker-custom-attributes"]
    kind = headers["content-type"].removeprefix("application/json")
    return 200, {"model": model, "route": route, "adapter": adapters.get(model)} | (
        {"kind": kind} if kind else {}
    )


async def stream(body: Any, reader: StreamReader, writer: StreamWriter) -> None:
    """Server-sent events in chunks, until they are over or the client is gone."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    gone = asyncio.create_task(reader.read(1))
    for n in range(body.get("chunks", 3)):
        event = b'data: {"n": %d}\n\n' % n
        writer.write(b"%x\r\n%s\r\n" % (len(event), event))
        await writer.drain()
        if n == body.get("die_after"):
            os._exit(9)
        await asyncio.wait([gone], timeout=body.get("pause", 0))
        if gone.done():
            note("cancelled")
            raise ConnectionError
    gone.cancel()
    await asyncio.wait([gone])
    if not body.get("unfinished"):
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n")
    writer.write(b"0\r\n\r\n")


async def converse(reader: StreamReader, writer: StreamWriter) -> None:
    """One connection, kept for as many requests as come."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split()
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
            raw = await reader.readexactly(int(headers.get("content-length", 0)))
            body = json.loads(raw or "null")
            if path == "/invocations" and body.get("fake") == "hang up":
                note("request")
                return
            status, value = answer(method, path, headers, body)
            if status == 200 and body and body.get("stream"):
                await stream(body, reader, writer)
                continue
            data = json.dumps(value).encode()
            writer.write(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\n" % status)
            writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))


async def main() -> None:
    server = await asyncio.start_server(converse, "127.0.0.1", given.port)
    note("start")
    if given.source == "refused":
        print(json.dumps({"error": {"message": "pickled weights"}}), flush=True)
        sys.exit(2)
    if given.source == "mute":
        print("no such file: config.json", file=sys.stderr)
        sys.exit(1)
    print(json.dumps({"port": server.sockets[0].getsockname()[1], "pid": os.getpid()}), flush=True)
    if given.source == "broken":
        print("the weights are of another shape", file=sys.stderr)
        os._exit(1)
    await asyncio.to_thread(sys.stdin.buffer.read)
    note("end")
    os._exit(0)


asyncio.run(main())
