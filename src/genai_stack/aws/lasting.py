"""Answers that take longer than a request may: InvokeEndpointAsync, whose input and output are objects in S3.

SageMaker's own limits are an hour for an answer, six to wait for its turn, and 1 GB for each object. The operation
takes no inference component (botocore's service model, 2017-05-13), so that it asks the endpoint's own model.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import suppress

import aiohttp

from genai_stack import names
from genai_stack.errors import GenAIStackError, ModelFailed, ObjectNotFound
from genai_stack.ports import JSON, ObjectStore, Order, Outcome, Reply

SECONDS = 3600.0
QUEUED_SECONDS = 21_600
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

    async def prepared(self, model: str, route: str, body: bytes, kind: str = JSON) -> dict[str, str]:
        """Puts the input where SageMaker will read it; the headers that say so."""
        id = uuid.uuid4().hex
        key = f"{names.questions(model)}/{id}"
        await asyncio.to_thread(self._store(self._bucket).put, key, body)
        return {
            "x-amzn-sagemaker-content-type": kind,
            "x-amzn-sagemaker-custom-attributes": f"route={route}",
            "x-amzn-sagemaker-inference-id": id,
            "x-amzn-sagemaker-inputlocation": f"s3://{self._bucket}/{key}",
            "x-amzn-sagemaker-invocationtimeoutseconds": str(int(self._seconds)),
            "x-amzn-sagemaker-requestttlseconds": str(QUEUED_SECONDS),
        }

    def order(self, asked: dict[str, str], taken: aiohttp.ClientResponse) -> Order:
        """What SageMaker took, `asked` with those headers."""
        output, failure = _locations(taken)
        return Order(asked["x-amzn-sagemaker-inputlocation"], output, failure, time.time())

    def come_to(self, order: Order) -> Outcome | None:
        """None where SageMaker has written nothing yet. Raises ModelFailed, with what it wrote about a failure, and
        when it can't write any more."""
        bucket, key = _apart(order.output)
        try:
            info = self._store(bucket).head(key)
            return Outcome(self._store(bucket).read(key), info.modified)
        except ObjectNotFound:
            pass
        if (said := self._read(order.failure)) is not None:
            raise _failed("the model", said)
        if time.time() > order.at + QUEUED_SECONDS + self._seconds + max(self._pauses):
            raise ModelFailed("the model hasn't answered in time; ask for less", code="model_timeout")
        return None

    def withdraw(self, order: Order) -> None:
        """SageMaker reads the input once a machine is free: without it, there is nothing to do."""
        for location in (order.question, order.output, order.failure):
            self._delete(location)

    def unasked(self, asked: dict[str, str]) -> None:
        """SageMaker didn't take what was prepared for it."""
        with suppress(GenAIStackError):  # the refusal matters more
            self._delete(asked["x-amzn-sagemaker-inputlocation"])

    async def outcome(self, taken: aiohttp.ClientResponse, model: str) -> Reply:
        """Waits for what SageMaker writes. Raises ModelFailed, with what it wrote about the failure. Whoever stops
        waiting doesn't stop the model."""
        output, failure = _locations(taken)
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
                raise _failed(repr(model), said)
            await asyncio.sleep(self._pauses[min(looked, len(self._pauses) - 1)])
            looked += 1

    def _delete(self, location: str) -> None:
        bucket, key = _apart(location)
        if key:
            self._store(bucket).delete(key)

    def _read(self, location: str) -> bytes | None:
        bucket, key = _apart(location)
        if not key:
            return None
        try:
            return self._store(bucket).get(key)
        except ObjectNotFound:
            return None


def _locations(taken: aiohttp.ClientResponse) -> tuple[str, str]:
    """Of the output and of the failure."""
    output = taken.headers.get("x-amzn-sagemaker-outputlocation", "")
    return output, taken.headers.get("x-amzn-sagemaker-failurelocation", "")


def _apart(location: str) -> tuple[str, str]:
    """The bucket and the key; no key for a location that is none."""
    bucket, _, key = location.removeprefix("s3://").partition("/")
    return bucket, key


def _failed(model: str, said: bytes) -> ModelFailed:
    return ModelFailed(f"{model} failed: {said[:500].decode(errors='replace')}; try again")
