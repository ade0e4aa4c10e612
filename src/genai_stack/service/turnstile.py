"""How much may wait and run behind requests at a time, in all and of one tenant, so that none keeps the others out."""

from __future__ import annotations

from collections import Counter

from ..errors import Overloaded


class Turnstile:
    """For one event loop. `what` is what messages call those that go through."""

    def __init__(self, most: int, share: int, what: str) -> None:
        self._most, self._share, self._what = most, share, what
        self._in: Counter[tuple[str, str]] = Counter()

    def enter(self, tenant: str, id: str) -> None:
        """Takes a place, which `leave` gives back; requests for the same one, sent again under its key, share it.
        Raises Overloaded where there is no room for one more of `tenant`'s."""
        if (tenant, id) not in self._in:
            self._check(tenant)
        self._in[tenant, id] += 1

    def leave(self, tenant: str, id: str) -> None:
        self._in[tenant, id] -= 1
        if not self._in[tenant, id]:
            del self._in[tenant, id]

    def _check(self, tenant: str) -> None:
        if len(self._in) >= self._most:
            raise Overloaded(f"Too many {self._what} are in the background already; try again in a moment.")
        if sum(whose == tenant for whose, _ in self._in) >= self._share:
            raise Overloaded(
                f"{self._share} {self._what} of yours are in the background already; wait for one to end."
            )
