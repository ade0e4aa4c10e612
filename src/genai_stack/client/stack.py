"""`GenAIStack`: one object for the three layers."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from ..ports import Services
from . import connection
from .connection import Connection
from .endpoint import Endpoint
from .hosting import AsyncHosting, Hosting
from .loop import LoopThread
from .service import Service
from .training import Training


class GenAIStack:
    """Made by `local` or `deployed`. Close it, or use it as a context manager: a stack that `local` started ends
    then, one that it joined runs on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loop = LoopThread()

    @classmethod
    def local(cls, home: str | Path | None = None, *, config: str | Path | None = None) -> Self:
        """The stack on this machine: the one that runs in `home` (GENAI_STACK_HOME, else ~/.genai-stack), else a new
        one that lives as long as this object and no longer than this program. Where no `home` is given,
        GENAI_STACK_BASE_URL goes before both. `config` is a new one's stack.toml. Raises StackNotReady."""
        return cls(connection.local(home, config))

    @classmethod
    def deployed(cls, stage: str) -> Self:
        """The stack of `stage` in the account at hand: jobs on its AWS Batch, and the API that GENAI_STACK_BASE_URL and
        GENAI_STACK_API_KEY name, since no stage has one of its own yet. Raises NotDeployedError, which says what to do,
        now or when a layer is used that isn't there."""
        return cls(connection.deployed(stage))

    @property
    def endpoint(self) -> Endpoint:
        """Where the API answers, and the key it takes."""
        return self._connection.endpoint

    @cached_property
    def training(self) -> Training:
        """The bottom: jobs that make models."""
        return Training(self._services, self._connection.place(self._services))

    @cached_property
    def hosting(self) -> Hosting:
        """The middle: models that answer."""
        place = self._connection.place(self._services)
        return Hosting(AsyncHosting(self._services, place, self._connection.gates), self._loop)

    @cached_property
    def service(self) -> Service:
        """The top: the API, through the `openai` package."""
        return Service(self.endpoint)

    def close(self) -> None:
        """Ends what this object started; more than once is once."""
        if "service" in self.__dict__:
            self.service.close()
        if "_services" in self.__dict__:
            self._loop.run(self._services.models.close())
        self._loop.close()
        self._connection.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @cached_property
    def _services(self) -> Services:
        return self._connection.services()
