"""The top layer: the `openai` package's own clients, pointed at the stack and keyed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from .endpoint import Endpoint

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI


class Service:
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @cached_property
    def openai(self) -> OpenAI:
        """A real `openai.OpenAI`; everything its documentation says about the client holds."""
        from openai import OpenAI

        return OpenAI(base_url=self._endpoint.base_url, api_key=self._endpoint.key)

    def close(self) -> None:
        if "openai" in self.__dict__:
            self.openai.close()


class AsyncService:
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @cached_property
    def openai(self) -> AsyncOpenAI:
        """A real `openai.AsyncOpenAI`."""
        from openai import AsyncOpenAI

        return AsyncOpenAI(base_url=self._endpoint.base_url, api_key=self._endpoint.key)

    async def close(self) -> None:
        if "openai" in self.__dict__:
            await self.openai.close()
