"""Stop texts in an answer that comes in pieces."""

from __future__ import annotations


class StopFilter:
    """Passes text on up to the first stop text, which is left out. What might be the start of one is held back.

    The first is the one whose last character comes first (of those, the longest), so the result doesn't depend on
    how the text was cut into pieces.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held = ""
        self.stopped = False

    def feed(self, piece: str) -> str:
        """The text that may be shown now."""
        if not self._stops:
            return piece
        text = self._held + piece
        found = self._first(text)
        if found is not None:
            self.stopped, self._held = True, ""
            return text[:found]
        keep = self._possible_start(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """What was held back, once no more text comes."""
        held, self._held = self._held, ""
        return held

    def _first(self, text: str) -> int | None:
        """Where the first stop text begins."""
        ends = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        return min(ends)[1] if ends else None

    def _possible_start(self, text: str) -> int:
        longest = 0
        for stop in self._stops:
            for length in range(min(len(stop) - 1, len(text)), longest, -1):
                if text.endswith(stop[:length]):
                    longest = length
                    break
        return longest
