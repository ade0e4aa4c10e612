"""`AsyncGenAIStack`: the same three layers for a program with an event loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import GenAIStackError
from ..ports import Services
from . import connection
from .connection import Connection
from .endpoint import Endpoint
from .hosting import AsyncHosting
from .service import AsyncService
from .training import AsyncTraining, Training


class AsyncGenAIStack:
    """GenAIStack's twin: what waits there is awaited here. `await AsyncGenAIStack.local()`, then `await close()` or
    `async with`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    async def local(cls, home: str | Path | None = None, *, config: str | Path | None = None) -> Self:
        """See GenAIStack.local."""
        return cls(await asyncio.to_thread(connection.local, home, config))

    @classmethod
    async def deployed(cls, stage: str) -> Self:
        """See GenAIStack.deployed."""
        made = cls(await asyncio.to_thread(connection.deployed, stage))
        # The account is asked here and now: a property can't wait without blocking the loop.
        with suppress(GenAIStackError):  # a layer that isn't there says so when it is used
            await asyncio.to_thread(lambda: (made.training, made.hosting))
        return made

    @property
    def endpoint(self) -> Endpoint:
        """Where the API answers, and the key it takes."""
        return self._connection.endpoint

    @cached_property
    def training(self) -> AsyncTraining:
        """The bottom: jobs that make models."""
        return AsyncTraining(Training(self._services, self._connection.place(self._services)))

    @cached_property
    def hosting(self) -> AsyncHosting:
        """The middle: models that answer."""
        place = self._connection.place(self._services)
        return AsyncHosting(self._services, place, self._connection.gates)

    @cached_property
    def service(self) -> AsyncService:
        """The top: the API, through the `openai` package."""
        return AsyncService(self.endpoint)

    async def close(self) -> None:
        """Ends what this object started; more than once is once."""
        if "service" in self.__dict__:
            await self.service.close()
        if "_services" in self.__dict__:
            await self._services.models.close()
        await asyncio.to_thread(self._connection.stop)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @cached_property
    def _services(self) -> Services:
        return self._connection.services()
