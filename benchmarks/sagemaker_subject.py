"""One way to ask a SageMaker endpoint, and the CPU its process spends on it.

python -m benchmarks.sagemaker_subject WHICH URL CHUNKS; each line on stdin ("request" or "chunk") is one round,
answered with the microseconds of CPU per request, or per chunk of a stream.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

REQUESTS, STREAMS, AT_ONCE = 1000, 24, 8
ENDPOINT, COMPONENT, ROUTE = "e", "c", "/v1/chat/completions"
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "What is a token? " * 20}]}).encode()
ASKED: dict[str, Any] = {
    "EndpointName": ENDPOINT,
    "InferenceComponentName": COMPONENT,
    "ContentType": "application/json",
    "CustomAttributes": f"route={ROUTE}",
    "Body": BODY,
}
Ask = Callable[[bool], Awaitable[bytes]]
"""One request, or one whole stream: all its bytes."""


async def bare(url: str) -> Ask:
    """aiohttp alone: nothing signed, no frame opened."""
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)

    async def ask(stream: bool) -> bytes:
        path = f"{url}/endpoints/{ENDPOINT}/invocations{'-response-stream' if stream else ''}"
        async with session.post(path, data=BODY) as answer:
            return b"".join([chunk async for chunk in answer.content.iter_any()])

    return ask


async def ours(url: str) -> Ask:
    from genai_stack.aws.host import SageMakerHost
    from genai_stack.hosted import HostedModel
    from genai_stack.ports import ModelVersion

    class Registry:
        def get(self, name: str) -> ModelVersion:
            return ModelVersion(name, "x")

    hosted = HostedModel("m", "chat", "x", ENDPOINT, "r", "i", {}, 1, 1, 1, 1, 1, 1, 60)
    registry: Any = Registry()
    components: Any = None
    host = SageMakerHost("dev", registry, {"m": hosted}, components)

    async def ask(stream: bool) -> bytes:
        if not stream:
            return (await host.invoke("m", ROUTE, BODY)).body
        async with host.stream("m", ROUTE, BODY) as answer:
            return b"".join([chunk async for chunk in answer])

    return ask


async def with_boto3(url: str) -> Ask:
    """In threads, as an asynchronous service has to."""
    import boto3
    from botocore.config import Config

    config = Config(retries={"total_max_attempts": 1}, max_pool_connections=AT_ONCE)
    client = boto3.client("sagemaker-runtime", endpoint_url=url, config=config)
    loop, pool = asyncio.get_running_loop(), ThreadPoolExecutor(AT_ONCE)

    def blocking(stream: bool) -> bytes:
        if not stream:
            return bytes(client.invoke_endpoint(**ASKED)["Body"].read())
        events = client.invoke_endpoint_with_response_stream(**ASKED)["Body"]
        return b"".join([event["PayloadPart"]["Bytes"] for event in events])

    return lambda stream: loop.run_in_executor(pool, blocking, stream)


async def with_aiobotocore(url: str) -> Ask:
    from aiobotocore.session import get_session
    from botocore.config import Config

    config = Config(retries={"total_max_attempts": 1}, max_pool_connections=AT_ONCE)
    client = (
        await get_session().create_client("sagemaker-runtime", endpoint_url=url, config=config).__aenter__()
    )

    async def ask(stream: bool) -> bytes:
        if not stream:
            return bytes(await (await client.invoke_endpoint(**ASKED))["Body"].read())
        events = (await client.invoke_endpoint_with_response_stream(**ASKED))["Body"]
        return b"".join([event["PayloadPart"]["Bytes"] async for event in events])

    return ask


WAYS = {"bare": bare, "genai-stack": ours, "boto3": with_boto3, "aiobotocore": with_aiobotocore}


async def one_round(ask: Ask, *, stream: bool, chunks: int) -> float:
    left = requests = STREAMS if stream else REQUESTS

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            got = await ask(stream)
            if (b"[DONE]" if stream else b'"usage"') not in got:
                raise SystemExit(f"an answer is not whole: {got[-200:]!r}")

    begun = time.process_time()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return 1e6 * (time.process_time() - begun) / (requests * (chunks if stream else 1))


async def main(which: str, url: str, chunks: int) -> None:
    ask = await WAYS[which](url)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(await one_round(ask, stream=line.strip() == "chunk", chunks=chunks), flush=True)
    os._exit(0)  # the connections go with the process


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
    else:
        uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
