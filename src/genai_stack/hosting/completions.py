"""`/v1/completions`: raw prompts, continued; with `echo` and `logprobs` also scored, as evaluation harnesses do."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from ..errors import RequestError
from ..protocol import CompletionRequest
from .choice import Choice, ShownToken, count_usage, read_pieces, usage_so_far
from .engine import Feed
from .prompts import raw
from .sampling import sequences
from .serving import Served
from .text import Text, TextDecoder
from .wire import TokenScore

_json = msgspec.json.encode
_FLOOR = -9999.0
_MOST_SEQUENCES = 256


async def answer(served: Served, request: CompletionRequest) -> CompletionAnswer:
    """Raises RequestError and its kin before anything is generated; Overloaded when the queue is full."""
    served.require_text()
    if len(request.prompts) * (request.n or 1) > _MOST_SEQUENCES:
        raise RequestError(
            f"'prompt' asks for more than {_MOST_SEQUENCES} sequences; send fewer prompts at a time.",
            param="prompt",
            code="invalid_value",
        )
    prompts = [await raw(served, prompt, "prompt") for prompt in request.prompts]
    todo = []
    for prompt in prompts:
        if not prompt:
            raise RequestError("'prompt' has no tokens; send some text.", param="prompt", code="invalid_value")
        room = served.room(len(prompt), request.max_tokens, "prompt")
        most = min(room, request.limit)
        todo += sequences(request, served, prompt, most, scored=request.logprobs)
    feed = await served.engine.generate(todo)
    try:
        echoes = await _echoes(served, request, prompts)
    except BaseException:
        feed.close()
        raise
    return CompletionAnswer(served, request, prompts, echoes, feed)


class Echo(msgspec.Struct):
    """A prompt as it opens its answers. The first token has no score."""

    text: str
    tokens: list[int]
    scores: list[TokenScore] | None


async def _echoes(served: Served, request: CompletionRequest, prompts: list[list[int]]) -> list[Echo] | None:
    if not request.echo:
        return None
    texts = [
        prompt if isinstance(prompt, str) else served.text.decode(ids)
        for prompt, ids in zip(request.prompts, prompts, strict=True)
    ]
    if request.logprobs is None:
        return [Echo(text, ids, None) for text, ids in zip(texts, prompts, strict=True)]
    scores = [await served.engine.score(ids, request.logprobs) for ids in prompts]
    return [Echo(*parts) for parts in zip(texts, prompts, scores, strict=True)]


class CompletionAnswer:
    """An answer under way: the choices of the first prompt, then those of the second, and so on."""

    def __init__(
        self,
        served: Served,
        request: CompletionRequest,
        prompts: list[list[int]],
        echoes: list[Echo] | None,
        feed: Feed,
    ) -> None:
        self._text, self._feed, self._request, self._echoes = served.text, feed, request, echoes
        self._each = request.n or 1
        self._prompt_tokens = sum(map(len, prompts))
        # Evaluation harnesses count on one entry for each generated token, the one that ends the text included.
        self._choices = [
            Choice(served.text, request.stops, specials=True) for _ in range(len(prompts) * self._each)
        ]
        self._id, self._created = f"cmpl-{secrets.token_hex(16)}", int(time.time())

    async def whole(self) -> bytes:
        texts = [self._echo_text(i) for i in range(len(self._choices))]
        tokens: list[list[ShownToken]] = [[] for _ in self._choices]
        async for index, piece in read_pieces(self._choices, self._feed):
            texts[index] += piece.text
            tokens[index] += piece.tokens
        choices = [
            {
                "index": index,
                "text": texts[index],
                "logprobs": self._logprobs(index, tokens[index], first=True),
                "finish_reason": choice.finish,
            }
            for index, choice in enumerate(self._choices)
        ]
        return _json(
            {**self._head(), "choices": choices, "usage": count_usage(self._prompt_tokens, self._choices)}
        )

    async def events(self) -> AsyncIterator[bytes]:
        prefix = b"data: " + _json(self._head())[:-1]
        opened = [False] * len(self._choices)
        batch = b""
        async for index, piece in read_pieces(self._choices, self._feed):
            end = b"}]" + usage_so_far(self._request, self._prompt_tokens, self._choices[index]) + b"}\n\n"
            first, opened[index] = not opened[index], True
            text = self._echo_text(index) + piece.text if first else piece.text
            logprobs = b"null"
            if self._request.logprobs is not None:
                logprobs = _json(self._logprobs(index, piece.tokens, first=first))
            finish = piece.finish
            reason = b"null" if finish is None else b'"%b"' % finish.encode()
            batch += b'%b,"choices":[{"index":%d,"text":%b,"logprobs":%b,"finish_reason":%b%b' % (
                prefix,
                index,
                _json(text),
                logprobs,
                reason,
                end,
            )
            if not self._feed.pending:
                yield batch
                batch = b""
        if self._request.include_usage:
            batch += (
                prefix
                + b',"choices":[],"usage":'
                + _json(count_usage(self._prompt_tokens, self._choices))
                + b"}\n\n"
            )
        yield batch + b"data: [DONE]\n\n"

    def close(self) -> None:
        self._feed.close()

    def _echo_text(self, index: int) -> str:
        return self._echoes[index // self._each].text if self._echoes else ""

    def _logprobs(self, index: int, tokens: list[ShownToken], *, first: bool) -> dict[str, Any] | None:
        """`text_offset` counts characters of the choice's whole text, the echo included."""
        if self._request.logprobs is None:
            return None
        echo = self._echoes[index // self._each] if self._echoes else None
        listed: list[tuple[int, TokenScore | None, int]] = []
        if echo and first:
            offsets = _offsets(self._text, echo.tokens)
            listed += zip(echo.tokens, [None, *(echo.scores or ())], offsets, strict=True)
        base = len(echo.text) if echo else 0
        listed += [(token.id, token.score, base + token.offset) for token in tokens]
        return {
            "tokens": [_label(self._text, id) for id, _, _ in listed],
            "token_logprobs": [None if score is None else max(score.logprob, _FLOOR) for _, score, _ in listed],
            "top_logprobs": [_top(self._text, id, score) for id, score, _ in listed],
            "text_offset": [offset for _, _, offset in listed],
        }

    def _head(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "text_completion",
            "created": self._created,
            "model": self._request.model,
        }


def _offsets(text: Text, ids: list[int]) -> list[int]:
    decoder, offsets, length = TextDecoder(text), [], 0
    for id in ids:
        offsets.append(length)
        length += len(text.token_text(id)) if text.is_special(id) else len(decoder.feed([id]))
    return offsets


def _label(text: Text, id: int) -> str:
    """The token as a key: its text, or its bytes spelt out when they aren't whole characters, as OpenAI does."""
    data = text.token_bytes(id)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _top(text: Text, id: int, score: TokenScore | None) -> dict[str, float] | None:
    """The likeliest tokens and the chosen one. Of two tokens with the same text the likelier stands."""
    if score is None:
        return None
    found: dict[str, float] = {}
    for token, logprob in [*score.alternatives, (id, score.logprob)]:
        found.setdefault(_label(text, token), max(logprob, _FLOOR))
    return found
