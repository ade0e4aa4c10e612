"""A circuit breaker: what keeps failing isn't asked for a while, so that nobody waits for it and it can come back."""

from __future__ import annotations

import time
from collections.abc import Callable

from genai_stack.errors import ModelFailed

FAILURES = 5
"""In a row, until the circuit opens."""
COOL_SECONDS = 10.0
"""How long it stays open; then one request at a time may try."""


class _Circuit:
    __slots__ = ("failures", "probing", "until")

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0
        self.probing = False


class Breaker:
    """Of each component by its name. Whoever is admitted says afterwards how it went, once: `succeeded`, `failed`, or
    `undecided` where the answer says nothing about the component (cancelled, throttled, warming up)."""

    def __init__(
        self,
        failures: int = FAILURES,
        cool: float = COOL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures, self._cool, self._clock = failures, cool, clock
        self._circuits: dict[str, _Circuit] = {}

    def admit(self, component: str, model: str) -> None:
        """Raises ModelFailed while the circuit is open."""
        circuit = self._circuits.get(component)
        if circuit is None or circuit.failures < self._failures:
            return
        left = circuit.until - self._clock()
        if left > 0 or circuit.probing:
            error = ModelFailed(
                f"{model!r} failed {circuit.failures} times in a row and isn't asked for a moment; look at its log",
                code="model_unavailable",
            )
            error.retry_after, error.should_retry = max(left, 1.0), True
            raise error
        circuit.probing = True

    def succeeded(self, component: str) -> None:
        if self._circuits:
            self._circuits.pop(component, None)

    def failed(self, component: str) -> None:
        circuit = self._circuits.setdefault(component, _Circuit())
        circuit.failures += 1
        circuit.probing = False
        if circuit.failures >= self._failures:
            circuit.until = self._clock() + self._cool

    def undecided(self, component: str) -> None:
        if (circuit := self._circuits.get(component)) is not None:
            circuit.probing = False
