"""What any forwarder costs: a bare ASGI function and an aiohttp session, no key, no validation, no error handling.

python -m benchmarks.floor UPSTREAM_URL PORT
"""

from __future__ import annotations

import sys
from typing import Any

import aiohttp
import uvicorn


def forwarder(upstream: str) -> Any:
    session: aiohttp.ClientSession | None = None

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal session
        if scope["type"] != "http":
            return
        session = session or aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), auto_decompress=False
        )
        body = (await receive())["body"]
        async with session.post(f"{upstream}/invocations", data=body) as answer:
            kept = [
                (k.lower(), v)
                for k, v in answer.raw_headers
                if k.lower() in (b"content-type", b"content-length")
            ]
            await send({"type": "http.response.start", "status": answer.status, "headers": kept})
            async for chunk in answer.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    return app


if __name__ == "__main__":
    uvicorn.run(
        forwarder(sys.argv[1]),
        port=int(sys.argv[2]),
        log_level="error",
        loop="uvloop",
        http="httptools",
        lifespan="off",
    )
