"""ModelHost of a stage: none of its models is up."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import NoReturn

from genai_stack import names
from genai_stack.errors import NotDeployedError
from genai_stack.ports import JSON, DirectAccess, Reply, ReplyStream


class UnhostedModels:
    """Refuses what takes a model, and says what to do instead; nothing is ever up."""

    def __init__(self, stage: str) -> None:
        self._stage = stage

    async def invoke(
        self, model: str, route: str, body: bytes, *, wait: float | None = None, kind: str = JSON
    ) -> Reply:
        self._refuse(model)

    def stream(
        self, model: str, route: str, body: bytes, *, wait: float | None = None
    ) -> AbstractAsyncContextManager[ReplyStream]:
        self._refuse(model)

    async def direct(self, model: str) -> DirectAccess:
        self._refuse(model)

    async def deploy(self, model: str) -> None:
        self._refuse(model)

    async def undeploy(self, model: str) -> None:
        """Nothing is held."""

    async def live(self) -> list[str]:
        return []

    async def close(self) -> None:
        """Nothing is open."""

    def _refuse(self, model: str) -> NoReturn:
        raise NotDeployedError(
            f"nothing answers as {model!r} in stage {self._stage!r}: {names.remedy('hosting', self._stage)}"
        )
