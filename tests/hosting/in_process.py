"""`POST /invocations` of a fleet whose engines never start, in this process: for routes that need none."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from genai_stack.hosting.fleet import Fleet, Limits
from genai_stack.hosting.invocations import Invocations


def invocations(source: str | Path, home: Path) -> Invocations:
    """Over the model `source`, served as "base"."""
    return Invocations(Fleet(str(source), "base", home, Limits()))


async def post(application: Invocations, route: str, body: bytes | dict[str, Any]) -> tuple[int, Any]:
    """Status and decoded JSON. Cancelled, it is a client that goes away."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent: list[dict[str, Any]] = []
    gone, requests = asyncio.Event(), [{"type": "http.request", "body": data}]

    async def receive() -> dict[str, Any]:
        if requests:
            return requests.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"x-amzn-sagemaker-custom-attributes", f"route={route}".encode())]
    work = asyncio.ensure_future(application({"type": "http", "headers": headers}, receive, send))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        gone.set()
        await work
        raise
    return sent[0]["status"], json.loads(b"".join(m.get("body", b"") for m in sent[1:]))
