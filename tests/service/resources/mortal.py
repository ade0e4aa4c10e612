"""A process that dies in the middle of its work."""

from __future__ import annotations

from typing import Any


class Died(BaseException):
    """Stands for kill -9: nothing handles it."""


class Mortal:
    """A store whose process dies before its `after`-th call from now."""

    def __init__(self, store: Any) -> None:
        self.store, self.after = store, -1

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)

        def call(*args: Any, **options: Any) -> Any:
            if self.after == 0:
                raise Died
            self.after -= 1
            return method(*args, **options)

        return call
