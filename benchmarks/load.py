"""A load generator that costs little: keep-alive HTTP/1.1 over asyncio, answers read and counted, not parsed."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field


@dataclass
class Tally:
    """`answers` completed, `events` SSE events seen, `lost` answers that didn't end well; seconds of wall time."""

    answers: int = 0
    events: int = 0
    lost: int = 0
    seconds: float = 0.0
    tails: list[bytes] = field(default_factory=list)


def request(host: str, path: str, key: str, body: dict[str, object]) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(data) + data


async def _answer(reader: asyncio.StreamReader, tally: Tally) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    ok = head.startswith(b"http/1.1 200")
    if b"transfer-encoding: chunked" not in head:
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        tail = await reader.readexactly(length)
    else:
        tail = b""
        while size := int(await reader.readline(), 16):
            chunk = await reader.readexactly(size + 2)
            tally.events += chunk.count(b"data: ")
            tail = (tail + chunk[:-2])[-2000:]
        await reader.readline()
        ok = ok and tail.endswith(b"data: [DONE]\n\n")
    tally.answers += ok
    tally.lost += not ok
    tally.tails.append(tail)


async def run(port: int, message: bytes, *, connections: int, requests: int) -> Tally:
    """Sends `message` `requests` times over `connections` connections to 127.0.0.1:`port`."""
    tally, left = Tally(), requests

    async def worker() -> None:
        nonlocal left
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        while left > 0:
            left -= 1
            writer.write(message)
            await _answer(reader, tally)
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(connections)))
    tally.seconds = time.perf_counter() - begun
    return tally
