"""ModelHost on SageMaker: bytes to and from the inference component of each model, through sagemaker-runtime.

What a container sees: the body as it came, whose `model` is the name that the registry knows, and the route in the
custom attributes (`route=/v1/chat/completions`). The base's container is to serve under its catalogue name
(`--served-model-name`). For an adapter's component SageMaker adds `X-Amzn-SageMaker-Adapter-Identifier`, which the
containers (vLLM's `/invocations`, LMI) put in the place of `model`, whatever that said.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import aiohttp

from genai_stack.errors import EngineFailed, GenAIStackError, ModelFailed, ModelWarming, NotFound, RequestError
from genai_stack.hosted import HostedModel
from genai_stack.ports import (
    JSON,
    DirectAccess,
    ModelRegistry,
    ModelVersion,
    Order,
    Outcome,
    Reply,
    ReplyStream,
)
from genai_stack.protocol import endings
from genai_stack.protocol.refusals import refusal

from . import bearer
from .breaker import Breaker
from .frames import BrokenFrame, Frames
from .lasting import Lasting
from .runtime import BROKEN, Runtime, broke
from .runtime_faults import answered, broke_off, no_credentials_left
from .serverless import refuse_unserved
from .targets import Target, Targets

REQUEST_SECONDS = 600.0
"""One answer's deadline, its first byte to its last; SageMaker cuts a stream off after eight minutes."""
PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Between two attempts at a model that warms up; the last one is repeated."""
_EVENTS = "text/event-stream"


class Components(Protocol):
    """The stage's inference components, asked through SageMaker's control plane, which blocks."""

    def up(self) -> frozenset[str]:
        """Names of those that answer now."""

    def wake(self, version: ModelVersion, hosted: HostedModel) -> None:
        """Asks for a copy of a model's component, and returns; nothing happens where it is up or coming. Raises
        EngineFailed when it has failed to come up."""

    def stop(self, component: str) -> None:
        """Frees what it holds. Raises NotFound where there is none."""


class Promotion(Protocol):
    """Which version a component answers from: asked of SageMaker's control plane, which blocks."""

    def start(self, version: ModelVersion, hosted: HostedModel) -> None:
        """Asks for a component that answers from `version`, and returns; one that does so stays as it is."""

    def answers(self, version: ModelVersion, hosted: HostedModel, look: int) -> bool:
        """Whether it does by now, asked for the `look`th time from 0. Raises EngineFailed when it won't."""


class SageMakerHost:
    """A request reaches a model once. It is sent again only while SageMaker says that no copy took it, and only as
    long as its `wait` allows. May be used again after `close`."""

    def __init__(
        self,
        stage: str,
        registry: ModelRegistry,
        hosted: Mapping[str, HostedModel],
        components: Components,
        *,
        promotion: Promotion | None = None,
        lasting: Lasting | None = None,
        runtime: Runtime | None = None,
        breaker: Breaker | None = None,
        seconds: float = REQUEST_SECONDS,
        pauses: tuple[float, ...] = PAUSES,
    ) -> None:
        """`hosted` is what the hosting stack made, by catalogue name. `promotion` makes and moves components; without
        it, those that are there are all that can be deployed. `lasting` carries models that answer through S3.
        An answer takes at most `seconds`, and `wait` before that."""
        self._stage, self._registry, self._components = stage, registry, components
        self._targets = Targets(stage, registry, hosted)
        self._promotion = promotion
        self._runtime = runtime or Runtime()
        self._breaker = breaker or Breaker()
        self._lasting = lasting
        self._seconds, self._pauses = seconds, pauses

    async def invoke(
        self, model: str, route: str, body: bytes, *, wait: float | None = None, kind: str = JSON
    ) -> Reply:
        target = await self._targets.find(model)
        if target.hosted.serverless:
            refuse_unserved(target.hosted, route, body)
        if target.hosted.asynchronous:
            return await self._invoke_lasting(target, route, body, kind)
        async with self._answer(target, "/invocations", route, body, wait, kind) as answer:
            return answer if isinstance(answer, Reply) else await self._whole(answer, model)

    @asynccontextmanager
    async def stream(
        self, model: str, route: str, body: bytes, *, wait: float | None = None
    ) -> AsyncIterator[ReplyStream]:
        target = await self._targets.find(model)
        if target.hosted.asynchronous:
            raise RequestError(
                f"{model!r} answers asynchronously, all at once; ask without stream", code="no_streaming"
            )
        if target.hosted.serverless:
            refuse_unserved(target.hosted, route, body)
        path = "/invocations-response-stream"
        async with self._answer(target, path, route, body, wait) as answer:
            yield _Refusal(answer) if isinstance(answer, Reply) else _Stream(answer, model)

    async def direct(self, model: str) -> DirectAccess:
        """SageMaker's own OpenAI-compatible path, which takes chat only; see bearer.py."""
        target = await self._targets.find(model)
        if not target.hosted.placed or target.version.task != "chat":
            raise RequestError(
                f"SageMaker's own API takes chat only, and {model!r} is for {target.version.task}; "
                "go through stack.service",
                code="no_direct_access",
            )
        base, region = await self._runtime.address()
        return bearer.access(base, region, target.hosted.endpoint, target.component)

    async def deploy(self, model: str) -> None:
        """Waits as long as it takes; cancelled, the model goes on coming up. NAME@VERSION, live or not, takes the place
        of what answers under the name, copy by copy, and goes back by itself when an alarm goes off."""
        target = await self._targets.of(model)
        pauses = _lengthening(self._pauses)
        if self._promotion is not None and target.hosted.placed:
            await asyncio.to_thread(self._promotion.start, target.version, target.hosted)
            for look in itertools.count():
                if await asyncio.to_thread(self._promotion.answers, target.version, target.hosted, look):
                    break
                await asyncio.sleep(next(pauses))
        while True:
            await asyncio.to_thread(self._components.wake, target.version, target.hosted)
            if target.component in await asyncio.to_thread(self._components.up):
                return
            await asyncio.sleep(next(pauses))

    async def undeploy(self, model: str) -> None:
        """A model that the registry has forgotten since is freed all the same."""
        self._targets.forget(model)
        try:
            target = await self._targets.find(model)
        except NotFound as unknown:
            try:
                await asyncio.to_thread(self._components.stop, self._targets.component(model))
            except NotFound:
                raise unknown from None
            return
        if target.hosted.placed:
            with suppress(NotFound):
                await asyncio.to_thread(self._components.stop, target.component)

    async def live(self) -> list[str]:
        """In the registry's order."""
        versions = await asyncio.to_thread(self._registry.list)
        up = await asyncio.to_thread(self._components.up)
        return [version.name for version in versions if self._targets.component(version.name) in up]

    async def close(self) -> None:
        """Closes the connections of this event loop; the models stay as they are."""
        await self._runtime.close()

    @asynccontextmanager
    async def _answer(
        self, target: Target, path: str, route: str, body: bytes, wait: float | None, kind: str = JSON
    ) -> AsyncIterator[aiohttp.ClientResponse | Reply]:
        """Under the deadline, the component's circuit and the caller's patience. A Reply is the container's own
        refusal."""
        component, model = target.component, target.version.name
        patience = wait or 0.0
        self._breaker.admit(component, model)
        decided: Callable[[str], None] = self._breaker.undecided
        response: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(self._seconds + patience) as deadline:
                answer = await self._taken(target, path, route, body, patience, kind)
                if isinstance(answer, Reply):
                    yield answer
                    decided = self._breaker.failed if answer.status >= 500 else self._breaker.succeeded
                else:
                    response = answer
                    yield answer
                    decided = self._breaker.succeeded
        except TimeoutError as error:
            if not deadline.expired():
                raise
            decided = self._breaker.failed
            raise ModelFailed(
                f"{model!r} took longer than {self._seconds:.0f} s; ask for less, or fewer tokens",
                code="model_timeout",
            ) from error
        except EngineFailed:
            decided = self._breaker.failed
            raise
        finally:
            if response is not None:
                response.close()  # before its end, this cancels the generation
            decided(component)

    async def _taken(
        self, target: Target, path: str, route: str, body: bytes, patience: float, kind: str
    ) -> aiohttp.ClientResponse | Reply:
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        pauses = _lengthening(self._pauses)
        while True:
            try:
                return await self._sent(target, path, route, body, kind)
            except ModelWarming:
                left = until - loop.time()
                if left <= 0:
                    raise
                await asyncio.sleep(min(next(pauses), left))

    async def _sent(
        self, target: Target, path: str, route: str, body: bytes, kind: str
    ) -> aiohttp.ClientResponse | Reply:
        headers = {
            "content-type": kind,
            "x-amzn-sagemaker-custom-attributes": f"route={route}",
        }
        if target.hosted.placed:
            headers["x-amzn-sagemaker-inference-component"] = target.component
        response = await self._runtime.post(target.path + path, headers, body)
        if response.status == 200:
            return response
        return await self._refused(response, target.version.name)

    async def _refused(self, response: aiohttp.ClientResponse, model: str) -> Reply:
        try:
            said = await response.read()
        except BROKEN as error:
            raise broke(f"SageMaker broke off while it refused {model!r}", error) from error
        finally:
            response.close()
        kind = response.headers.get("x-amzn-errortype", "")
        if no_credentials_left(response.status, kind, said):
            self._runtime.credentials.refused()
        wait = response.headers.get("retry-after")
        return answered(response.status, kind, wait, said, model=model, stage=self._stage)

    async def _whole(self, response: aiohttp.ClientResponse, model: str) -> Reply:
        try:
            said = await response.read()
        except BROKEN as error:
            raise broke(f"{model!r} broke off in the middle of its answer", error) from error
        return Reply(200, response.headers.get("content-type", "application/json"), said)

    async def order(self, model: str, route: str, body: bytes, *, kind: str = JSON) -> Order:
        target = await self._targets.find(model)
        if not target.hosted.asynchronous:
            raise RequestError(f"{model!r} answers at once, and takes no work for later", code="no_long_work")
        lasting = self._through_s3(model)
        self._breaker.admit(target.component, model)
        decided = self._breaker.undecided
        try:
            located = await lasting.prepared(model, route, body, kind)
            try:
                order = await self._ordered(target, located, lasting)
            except GenAIStackError:
                await asyncio.to_thread(lasting.unasked, located)
                raise
            decided = self._breaker.succeeded
            return order
        except EngineFailed:
            decided = self._breaker.failed
            raise
        finally:
            decided(target.component)

    async def _ordered(self, target: Target, located: dict[str, str], lasting: Lasting) -> Order:
        response = await self._runtime.post(f"{target.path}/async-invocations", located, b"")
        if response.status != 202:
            refused = await self._refused(response, target.version.name)
            raise refusal(refused.status, refused.body)
        response.close()
        return lasting.order(located, response)

    def outcome(self, order: Order) -> Outcome | None:
        return self._through_s3().come_to(order)

    def withdraw(self, order: Order) -> None:
        self._through_s3().withdraw(order)

    def _through_s3(self, model: str = "the model") -> Lasting:
        if self._lasting is None:
            raise GenAIStackError(
                f"{model!r} answers through S3, and no bucket is known; deploy GenaiStack-Hosting"
            )
        return self._lasting

    async def _invoke_lasting(self, target: Target, route: str, body: bytes, kind: str) -> Reply:
        model = target.version.name
        lasting = self._through_s3(model)
        self._breaker.admit(target.component, model)
        decided = self._breaker.undecided
        try:
            located = await lasting.prepared(model, route, body, kind)
            response = await self._runtime.post(f"{target.path}/async-invocations", located, b"")
            if response.status != 202:
                return await self._refused(response, model)
            reply = await lasting.outcome(response, model)
            decided = self._breaker.succeeded
            return reply
        except EngineFailed:
            decided = self._breaker.failed
            raise
        finally:
            decided(target.component)


class _Refusal:
    """A ReplyStream of a container's own error."""

    def __init__(self, reply: Reply) -> None:
        self.status, self.content_type, self._body = reply.status, reply.content_type, reply.body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


class _Stream:
    """A ReplyStream. What the frames carry comes as it is; what is missing at the end is an error."""

    def __init__(self, response: aiohttp.ClientResponse, model: str) -> None:
        self.status = 200
        self.content_type = response.headers.get("x-amzn-sagemaker-content-type", _EVENTS)
        self._read, self._model = response.content.readany, model

    async def __aiter__(self) -> AsyncIterator[bytes]:
        frames = Frames()
        feed, read = frames.feed, self._read
        says_its_end = self.content_type.startswith(_EVENTS)
        last = b""
        while True:
            try:
                data = await read()
                if not data:
                    break
                payload = feed(data)
            except BROKEN as error:
                raise broke(f"{self._model!r} broke off in the middle of its answer", error) from error
            except BrokenFrame as error:
                raise ModelFailed(
                    f"the answer of {self._model!r} came damaged ({error}); try again", code="damaged_stream"
                ) from error
            if payload:
                if says_its_end:
                    last = endings.tail(last, payload)
                yield payload
            if frames.fault is not None:
                raise broke_off(frames.fault, self._model)
        if frames.pending or (says_its_end and not endings.ended(last)):
            raise ModelFailed(
                f"{self._model!r} stopped before its answer was complete; try again", code="incomplete_stream"
            )


def _lengthening(pauses: tuple[float, ...]) -> Iterator[float]:
    yield from pauses
    while True:
        yield pauses[-1]
