"""What accepted requests wait at three times the load that can be sustained, with shedding and without.

    python -m benchmarks.shedding

The model is a stand-in that answers PLACES requests at a time, each in SECONDS: it sustains PLACES / SECONDS a second.
Requests come at their times whether or not others have been answered, as those of many clients do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import uvicorn

from benchmarks.overhead import KEY, MESSAGES, free_port, reachable, running
from benchmarks.stub_hosting import completion
from genai_stack.config import ModelConfig, ServiceConfig, StackConfig
from genai_stack.ports import Reply, ReplyStream
from genai_stack.service import ApiKeys, build_app
from genai_stack.wiring import local_services

PLACES, SECONDS, LASTS = 8, 0.2, 8.0
SUSTAINED = PLACES / SECONDS


class SlowHost:
    """Of a model with PLACES places."""

    def __init__(self) -> None:
        self._places, self._answer = asyncio.Semaphore(PLACES), completion()

    async def invoke(self, model: str, route: str, body: bytes, *, wait: float | None = None) -> Reply:
        async with self._places:
            await asyncio.sleep(SECONDS)
        return Reply(200, "application/json", self._answer)

    @contextlib.asynccontextmanager
    async def stream(self, *_: object, **__: object) -> AsyncIterator[ReplyStream]:
        raise SystemExit("this benchmark streams nothing")
        yield

    async def close(self) -> None:
        pass


def subject(home: str, port: str, places: str) -> None:
    config = StackConfig(
        models=(ModelConfig("builtin", "builtin"),), service=ServiceConfig(max_concurrent=int(places))
    )
    services = msgspec.structs.replace(local_services(Path(home), config), models=SlowHost())
    app = build_app(services, keys=ApiKeys(services.records, KEY), config=config)
    uvicorn.run(app, port=int(port), access_log=False, log_config=None, loop="uvloop", http="httptools")


async def offered(port: int, rate: float) -> tuple[list[float], Counter[int]]:
    """Seconds that accepted requests took, after a second to warm up, and how many had which status."""
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    body = json.dumps({"model": "builtin", "messages": MESSAGES}).encode()
    took: list[float] = []
    statuses: Counter[int] = Counter()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), headers={"authorization": f"Bearer {KEY}"}
    ) as session:

        async def one(counts: bool) -> None:
            began = time.perf_counter()
            async with session.post(url, data=body) as answer:
                await answer.read()
            if counts:
                statuses[answer.status] += 1
                if answer.status == 200:
                    took.append(time.perf_counter() - began)

        begun, tasks = time.perf_counter(), []
        for number in range(int(rate * LASTS)):
            await asyncio.sleep(max(begun + number / rate - time.perf_counter(), 0))
            tasks.append(asyncio.create_task(one(number > rate)))
        await asyncio.gather(*tasks)
    return took, statuses


def main() -> None:
    print(
        f"a model that sustains {SUSTAINED:.0f} requests a second, each in {1000 * SECONDS:.0f} ms; {LASTS:.0f} s each"
    )
    print(f"{'':34}{'answered':>10}{'sent away':>11}{'p50 ms':>9}{'p99 ms':>9}")
    for places, label in ((PLACES, "max_concurrent = what it sustains"), (100_000, "without a bound")):
        with tempfile.TemporaryDirectory() as home:
            port = free_port()
            with running("-m", "benchmarks.shedding", home, str(port), str(places)):
                reachable(port)
                print(label)
                for times in (0.8, 3.0):
                    took, statuses = asyncio.run(offered(port, times * SUSTAINED))
                    cuts = statistics.quantiles(took, n=100)
                    print(
                        f"{f'  {times:g} times that load':34}{statuses[200]:10}{statuses[429]:11}"
                        f"{1000 * cuts[49]:9.0f}{1000 * cuts[98]:9.0f}"
                    )


if __name__ == "__main__":
    subject(*sys.argv[1:]) if len(sys.argv) > 1 else main()
