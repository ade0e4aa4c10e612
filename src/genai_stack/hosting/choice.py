"""One sequence of an answer: the engine's token ids on one side, what a client may see of them on the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal

import msgspec

from ..protocol import ChatRequest, CompletionRequest
from .calls import CallDelta, CallParser
from .engine import Feed
from .stops import StopFilter
from .text import Text, TextDecoder
from .wire import LENGTH, RUNNING, Output, TokenScore

FinishReason = Literal["stop", "length", "tool_calls"]


class ShownToken(msgspec.Struct):
    """A scored token and where its text begins in the answer, in characters."""

    id: int
    score: TokenScore
    offset: int


class Piece(msgspec.Struct):
    """What one report of the engine adds to an answer; the last one says why it ended."""

    text: str
    tokens: list[ShownToken]
    calls: list[CallDelta]
    finish: FinishReason | None = None

    @property
    def shows(self) -> bool:
        """Whether a client sees anything of it."""
        return bool(self.text or self.tokens or self.calls or self.finish)


class Choice:
    """Decodes, trims at stop texts, takes tool calls out. Only whole characters and text that no stop text can still
    claim come out; each scored token comes out with the text it belongs to. A special token, such as the one that ends
    an answer, comes out with its score only if `specials` are asked for."""

    def __init__(
        self, text: Text, stops: tuple[str, ...] = (), *, calls: bool = False, specials: bool = False
    ) -> None:
        self._text, self._decoder, self._stops = text, TextDecoder(text), StopFilter(stops)
        self._specials = specials
        self._calls = CallParser() if calls else None
        self._decoded = self._shown = 0
        self._held: list[ShownToken] = []
        self.tokens = 0
        """Generated so far, by the engine's count."""
        self.finish: FinishReason | None = None

    def feed(self, output: Output) -> Piece:
        """After `finish` is set, nothing more may be fed."""
        passed = ""
        scores = output.scores
        for index, id in enumerate(output.tokens):
            self.tokens += 1
            if scores is not None and (self._specials or not self._text.is_special(id)):
                self._held.append(ShownToken(id, scores[index], self._decoded))
            piece = self._decoder.feed([id])
            self._decoded += len(piece)
            passed += self._stops.feed(piece)
            if self._stops.stopped:
                break
        ended = self._stops.stopped or output.finish != RUNNING
        if ended and not self._stops.stopped:
            tail = self._decoder.finish()
            self._decoded += len(tail)
            passed += self._stops.feed(tail)
            if not self._stops.stopped:
                passed += self._stops.finish()
        self._shown += len(passed)
        tokens = self._release(everything=ended and not self._stops.stopped)
        deltas: list[CallDelta] = []
        if self._calls is not None:
            passed, deltas = self._calls.feed(passed, last=ended)
        if ended:
            called = self._calls is not None and self._calls.count > 0
            full = output.finish == LENGTH and not self._stops.stopped
            self.finish = "length" if full else "tool_calls" if called else "stop"
        return Piece(passed, tokens, deltas, self.finish)

    def _release(self, *, everything: bool) -> list[ShownToken]:
        """The scored tokens whose text has begun to show."""
        if not self._held:
            return []
        count = len(self._held)
        if not everything:
            count = sum(1 for token in self._held if token.offset < self._shown)
        shown, self._held = self._held[:count], self._held[count:]
        return shown


async def read_pieces(choices: Sequence[Choice], feed: Feed) -> AsyncIterator[tuple[int, Piece]]:
    """What each choice gains, with its index, until all have ended. Raises what the engine raises."""
    left = len(choices)
    while left:
        for output in await feed.read():
            choice = choices[output.id]
            if choice.finish is not None:
                continue
            piece = choice.feed(output)
            if piece.finish is not None:
                left -= 1
                feed.stop(output.id)
            if piece.shows:
                yield output.id, piece


def usage_so_far(request: ChatRequest | CompletionRequest, prompt_tokens: int, choice: Choice) -> bytes:
    """What a streamed event says of `usage`, with the comma before it; nothing where nobody asked."""
    if not request.include_usage:
        return b""
    if not request.counts_on:
        return b',"usage":null'
    written = choice.tokens
    return b',"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d}' % (
        prompt_tokens,
        prompt_tokens + written,
        written,
    )


def count_usage(prompt_tokens: int, choices: Sequence[Choice]) -> dict[str, int]:
    """An answer's `usage`, by the engine's count."""
    written = sum(choice.tokens for choice in choices)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": written,
        "total_tokens": prompt_tokens + written,
    }
