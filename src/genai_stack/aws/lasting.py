"""Answers that take longer than a request may: InvokeEndpointAsync, whose input and output are objects in S3.

SageMaker's own limits are an hour for an answer and 1 GB for each object. The operation takes no inference component
(botocore's service model, 2017-05-13), so that it asks the endpoint's own model.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

import aiohttp

from genai_stack import names
from genai_stack.errors import ModelFailed, ObjectNotFound
from genai_stack.ports import ObjectStore, Reply

SECONDS = 3600.0
PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Between two looks for the output; the last is repeated."""


class Lasting:
    """`bucket` takes the inputs, under names.questions; `store` opens any bucket that SageMaker names for an output."""

    def __init__(
        self,
        bucket: str,
        store: Callable[[str], ObjectStore],
        *,
        seconds: float = SECONDS,
        pauses: tuple[float, ...] = PAUSES,
    ) -> None:
        self._bucket, self._store = bucket, store
        self._seconds, self._pauses = seconds, pauses

    async def prepared(self, model: str, route: str, body: bytes) -> dict[str, str]:
        """Puts the input where SageMaker will read it; the headers that say so."""
        id = uuid.uuid4().hex
        key = f"{names.questions(model)}/{id}.json"
        await asyncio.to_thread(self._store(self._bucket).put, key, body)
        return {
            "x-amzn-sagemaker-content-type": "application/json",
            "x-amzn-sagemaker-custom-attributes": f"route={route}",
            "x-amzn-sagemaker-inference-id": id,
            "x-amzn-sagemaker-inputlocation": f"s3://{self._bucket}/{key}",
            "x-amzn-sagemaker-invocationtimeoutseconds": str(int(self._seconds)),
        }

    async def outcome(self, taken: aiohttp.ClientResponse, model: str) -> Reply:
        """Waits for what SageMaker writes. Raises ModelFailed, with what it wrote about the failure. Whoever stops
        waiting doesn't stop the model."""
        output, failure = (
            taken.headers.get(f"x-amzn-sagemaker-{which}location", "") for which in ("output", "failure")
        )
        taken.close()
        try:
            async with asyncio.timeout(self._seconds):
                return await self._written(output, failure, model)
        except TimeoutError:
            raise ModelFailed(
                f"{model!r} hasn't answered within {self._seconds:.0f} s; ask for less", code="model_timeout"
            ) from None

    async def _written(self, output: str, failure: str, model: str) -> Reply:
        looked = 0
        while True:
            if (said := await asyncio.to_thread(self._read, output)) is not None:
                kind = "application/json" if said[:1] in (b"{", b"[") else "application/octet-stream"
                return Reply(200, kind, said)
            if (said := await asyncio.to_thread(self._read, failure)) is not None:
                raise ModelFailed(f"{model!r} failed: {said[:500].decode(errors='replace')}; try again")
            await asyncio.sleep(self._pauses[min(looked, len(self._pauses) - 1)])
            looked += 1

    def _read(self, location: str) -> bytes | None:
        bucket, _, key = location.removeprefix("s3://").partition("/")
        if not key:
            return None
        try:
            return self._store(bucket).get(key)
        except ObjectNotFound:
            return None
