"""The account's access key for whoever signs requests itself: found and renewed as botocore does, in a thread.

botocore renews a temporary key 15 minutes before it ends, and blocks while it asks; an event loop never waits for
that here, unless it has no key to go on with.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from genai_stack.errors import GenAIStackError

from .faults import unreachable
from .signing import Key

FRESH_SECONDS = 60.0
"""How long a key is used without another look at the chain."""
STALE_SECONDS = 300.0
"""From this age on a request waits for the look; before it, the look goes on beside the request."""


class Credentials:
    """`find` gives botocore's credentials or None; it may block. One look at a time, shared by all who wait."""

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find = find
        self._key: Key | None = None
        self._looked = 0.0
        self._looking: asyncio.Task[Key] | None = None

    async def key(self) -> Key:
        """Raises GenAIStackError where there is none."""
        age = time.monotonic() - self._looked
        if self._key is not None and age < FRESH_SECONDS:
            return self._key
        looking = self._look()
        if self._key is not None and age < STALE_SECONDS:
            return self._key
        return await asyncio.shield(looking)

    def refused(self) -> None:
        """AWS doesn't accept the key any more: the next request takes a new look."""
        self._key = None

    def _look(self) -> asyncio.Task[Key]:
        loop = asyncio.get_running_loop()
        if self._looking is None or self._looking.done() or self._looking.get_loop() is not loop:
            self._looking = loop.create_task(self._found())
            self._looking.add_done_callback(_heard)
        return self._looking

    async def _found(self) -> Key:
        try:
            frozen = await asyncio.to_thread(self._frozen)
        except Exception as error:
            from botocore.exceptions import BotoCoreError

            if not isinstance(error, BotoCoreError):
                raise
            raise unreachable("can't get AWS credentials", error) from error
        if frozen is None:
            raise GenAIStackError(
                "there are no AWS credentials here; run: aws configure, or set AWS_PROFILE or AWS_ACCESS_KEY_ID"
            )
        self._key = Key(frozen.access_key, frozen.secret_key, frozen.token)
        self._looked = time.monotonic()
        return self._key

    def _frozen(self) -> Any:
        found = self._find()
        return None if found is None else found.get_frozen_credentials()


def _heard(task: asyncio.Task[Key]) -> None:
    """A look that failed beside a request is nobody's error yet."""
    if not task.cancelled():
        task.exception()
