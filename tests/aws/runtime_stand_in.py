"""sagemaker-runtime on this machine: its paths, headers, errors and event-stream frames, over loopback HTTP.

What answers behind it is a ModelHost (the local one, over an echo or a real model server), asked in a thread of the
stand-in's own. `script` comes first, if it has anything for a request.
"""

from __future__ import annotations

import asyncio
import json
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple
from zlib import crc32

from aiohttp import web

from genai_stack import names
from genai_stack.errors import EngineFailed, ModelWarming, NotFound
from genai_stack.ports import ModelHost

PART = {":message-type": "event", ":event-type": "PayloadPart", ":content-type": "application/octet-stream"}
STREAM = "application/vnd.amazon.eventstream"


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    block = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack("!H", len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(block) + len(payload), len(block))
    message = prelude + struct.pack("!I", crc32(prelude)) + block + payload
    return message + struct.pack("!I", crc32(message))


def part(payload: bytes) -> bytes:
    return frame(PART, payload)


def exception(kind: str, **told: str) -> bytes:
    headers = {
        ":message-type": "exception",
        ":exception-type": kind,
        ":content-type": "application/json",
    }
    return frame(headers, json.dumps(told).encode())


class Call(NamedTuple):
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def component(self) -> str:
        return self.headers.get("x-amzn-sagemaker-inference-component", "")


Script = Callable[[Call, web.Request], Awaitable[web.StreamResponse | None]]


def refusal(status: int, kind: str, message: str, **more: Any) -> web.Response:
    headers = {"x-amzn-errortype": kind, **more.pop("headers", {})}
    return web.json_response({"Message": message, **more}, status=status, headers=headers)


def model_error(status: int, said: str) -> web.Response:
    told = f"Received client error ({status}) from model with message {said!r}"
    return refusal(
        424, "ModelError", told, OriginalStatusCode=status, OriginalMessage=said, LogStreamArn="arn:x"
    )


def no_capacity() -> web.Response:
    return refusal(
        400,
        "ValidationError",
        "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress (if "
        "configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API.",
    )


class StandIn:
    """`models` is which name each component answers for; one whose name begins with "slow" has no capacity while it
    loads. `close` also closes what is behind it."""

    def __init__(
        self, behind: ModelHost | None = None, models: Callable[[str], str | None] = lambda _: None
    ) -> None:
        self.calls: list[Call] = []
        self.script: Script | None = None
        self.arrived = threading.Event()
        """Set when there has been a call."""
        self.gone = threading.Event()
        """Set when a client went away before it had its answer."""
        self._behind, self._models = behind, models
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sagemaker-runtime", daemon=True)
        self._thread.start()
        self.url = self.run(self._start())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """In the stand-in's loop."""
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(30)

    def close(self) -> None:
        async def closed() -> None:
            await self._runner.cleanup()
            if self._behind is not None:
                await self._behind.close()

        if not self._loop.is_closed():
            self.run(closed())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    # Components, as the host asks for them

    def up(self) -> frozenset[str]:
        assert self._behind is not None
        return frozenset(names.component("dev", model) for model in self.run(self._behind.live()))

    def wake(self, version: Any, hosted: Any) -> None:
        assert self._behind is not None
        self._models(names.component("dev", version.name))
        self.run(self._behind.deploy(version.name))

    def stop(self, component: str) -> None:
        assert self._behind is not None
        model = self._models(component)
        if model is None:
            raise NotFound(component)
        self.run(self._behind.undeploy(model))

    async def _start(self) -> str:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/endpoints/{endpoint}/{what}", self._serve)
        app.router.add_post(
            "/endpoints/{endpoint}/inference-components/{component}/openai/v1/chat/completions", self._openai
        )
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(request.path, headers, await request.read())
        self.calls.append(call)
        self.arrived.set()
        assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=")
        try:
            if self.script is not None and (answer := await self.script(call, request)) is not None:
                return answer
            return await self._forward(call, request)
        except (asyncio.CancelledError, ConnectionError):
            self.gone.set()
            raise

    async def _openai(self, request: web.Request) -> web.Response:
        """SageMaker's own path: a bearer token, and the container's answer as it is."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.calls.append(Call(request.path, headers, await request.read()))
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}
        about = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
        return web.json_response({**about, "choices": [choice]})

    async def _forward(self, call: Call, request: web.Request) -> web.StreamResponse:
        assert self._behind is not None
        model = self._models(call.component)
        if model is None:
            return refusal(400, "ValidationError", f"Inference component {call.component} not found.")
        route = call.headers["x-amzn-sagemaker-custom-attributes"].partition("=")[2]
        patience = 0.0 if model.startswith("slow") else None
        try:
            if not call.path.endswith("-response-stream"):
                reply = await self._behind.invoke(
                    model, route, call.body, wait=patience, kind=call.headers["content-type"]
                )
                if reply.status != 200:
                    return model_error(reply.status, reply.body.decode())
                return web.Response(body=reply.body, headers={"content-type": reply.content_type})
            async with self._behind.stream(model, route, call.body, wait=patience) as stream:
                if stream.status != 200:
                    return model_error(stream.status, b"".join([chunk async for chunk in stream]).decode())
                return await send(request, stream.content_type, stream)
        except ModelWarming:
            return no_capacity()
        except EngineFailed as error:
            return model_error(500, error.message)


async def send(request: web.Request, kind: str, chunks: Any) -> web.StreamResponse:
    """Each chunk in a frame of its own; a model that breaks off is an exception frame."""
    response = web.StreamResponse(headers={"content-type": STREAM, "x-amzn-sagemaker-content-type": kind})
    response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        async for chunk in chunks:
            await response.write(part(chunk))
    except EngineFailed as error:
        await response.write(exception("ModelStreamError", Message=error.message, ErrorCode="StreamBroken"))
    await response.write_eof()
    return response


def raw(body: bytes, *, piece: int = 0, kind: str = "text/event-stream") -> Script:
    """Answers every stream with `body` as it is, `piece` bytes at a time, and ends cleanly."""

    async def script(call: Call, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": STREAM, "x-amzn-sagemaker-content-type": kind})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for at in range(0, len(body), piece or len(body) or 1):
            await response.write(body[at : at + (piece or len(body))])
        await response.write_eof()
        return response

    return script


def always(make: Callable[[], web.Response], *, times: int = -1) -> Script:
    """Answers with what `make` makes, the first `times` times."""
    left = [times]

    async def script(call: Call, request: web.Request) -> web.StreamResponse | None:
        if left[0] == 0:
            return None
        left[0] -= 1
        return make()

    return script
