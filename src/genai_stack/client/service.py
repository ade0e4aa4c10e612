"""The top layer: the `openai` package's own clients, pointed at the stack and keyed, and what OpenAI doesn't have."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Unpack

from ..protocol.anatomy import Anatomy
from . import anatomy
from .anatomy import AnatomyOptions
from .endpoint import Endpoint
from .tasks import AsyncTasks, Tasks

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

_PATH = anatomy.ROUTE.removeprefix("/v1")  # the base URL ends in /v1


class Service(Tasks):
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @cached_property
    def openai(self) -> OpenAI:
        """A real `openai.OpenAI`; everything its documentation says about the client holds."""
        from openai import DefaultHttpxClient, OpenAI

        at = self._endpoint
        direct = DefaultHttpxClient(trust_env=False) if at.direct else None
        return OpenAI(base_url=at.base_url, api_key=at.key, http_client=direct)

    def anatomy(self, text: str, *, model: str, **options: Unpack[AnatomyOptions]) -> Anatomy:
        """How `model` reads `text`, step by step, through the API. Raises what `openai` raises."""
        body = {**options, "model": model, "text": text}
        return anatomy.read(self.openai.post(_PATH, cast_to=object, body=body))

    def close(self) -> None:
        if "openai" in self.__dict__:
            self.openai.close()


class AsyncService(AsyncTasks):
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @cached_property
    def openai(self) -> AsyncOpenAI:
        """A real `openai.AsyncOpenAI`."""
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        at = self._endpoint
        direct = DefaultAsyncHttpxClient(trust_env=False) if at.direct else None
        return AsyncOpenAI(base_url=at.base_url, api_key=at.key, http_client=direct)

    async def anatomy(self, text: str, *, model: str, **options: Unpack[AnatomyOptions]) -> Anatomy:
        """How `model` reads `text`, step by step, through the API. Raises what `openai` raises."""
        body = {**options, "model": model, "text": text}
        return anatomy.read(await self.openai.post(_PATH, cast_to=object, body=body))

    async def close(self) -> None:
        if "openai" in self.__dict__:
            await self.openai.close()
