"""The tokens an answer says it used, read off its end without parsing the whole; and streams made to say it."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..protocol import ChatRequest, CompletionRequest

_COUNT = re.compile(rb'"(prompt|completion|cached)_tokens"\s*:\s*(\d{1,12})')
_USAGE = re.compile(rb',\s*"usage"\s*:\s*\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}')
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_INDEX = re.compile(rb'"choices"\s*:\s*\[\s*\{\s*"index"\s*:\s*(\d{1,6})')
_EVENT_ENDS = re.compile(rb"(?<=\n\n)|(?<=\r\n\r\n)")
_ASKED = b'"include_usage":true,"continuous_usage_stats":true'


class Used(NamedTuple):
    """Tokens. `cached` are those of the prompt that a model didn't have to read again."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0


NOTHING = Used()


def counts(tail: bytes) -> Used:
    """What the last `usage` of a JSON body or of streamed events says; 0 where unsaid.

    Inside a JSON string the quotes would be escaped, so no generated text can pass for a usage.
    """
    at = tail.rfind(b'"usage"')
    if at < 0:
        return NOTHING
    found = {kind: int(number) for kind, number in _COUNT.findall(tail, at)}
    prompt = found.get(b"prompt", 0)
    return Used(prompt, found.get(b"completion", 0), min(prompt, found.get(b"cached", 0)))


class StreamedUsage:
    """Has a stream say what it has used so far, so that it is known whenever it ends, and takes out of its events what
    the client didn't ask for. Costs a search per chunk."""

    __slots__ = ("_asked", "_each", "_everything", "_last", "_several", "body")

    def __init__(self, request: ChatRequest | CompletionRequest, body: bytes) -> None:
        """`body` becomes the one to send on."""
        self._everything = request.counts_on
        self._asked = request.include_usage
        prompts = request.prompt if isinstance(request, CompletionRequest) else ""
        self._several = (request.n or 1) > 1 or not isinstance(prompts, str)
        self._last = b""
        self._each: dict[bytes, bytes] = {}
        self.body = body if self._everything else _asking(request, body)

    def passed(self, chunk: bytes) -> bytes:
        """Takes whole events in; what of them the client gets."""
        if b'"usage"' not in chunk:
            return chunk
        if self._several:
            for event in _EVENT_ENDS.split(chunk):
                if index := _INDEX.search(event):
                    self._each[index[1]] = event
        self._last = chunk
        if self._everything:
            return chunk
        if not self._asked:
            if _NO_CHOICES.search(chunk):
                chunk = b"".join(event for event in _EVENT_ENDS.split(chunk) if not _NO_CHOICES.search(event))
            return _USAGE.sub(b"", chunk).replace(b',"usage":null}', b"}")
        if not _NO_CHOICES.search(chunk):
            return _USAGE.sub(b',"usage":null', chunk)
        return b"".join(
            event if _NO_CHOICES.search(event) else _USAGE.sub(b',"usage":null', event)
            for event in _EVENT_ENDS.split(chunk)
        )

    def used(self) -> Used:
        """So far. A stream that ended well has said its total; before that, each choice tells its own."""
        last = counts(self._last)
        if not self._several or _NO_CHOICES.search(self._last):
            return last
        each = [counts(event) for event in self._each.values()]
        return Used(last.prompt, sum(used.completion for used in each), last.cached)


def _asking(request: ChatRequest | CompletionRequest, body: bytes) -> bytes:
    """The body with usage asked for. Of a key that comes twice the last value counts, here and behind here."""
    given = request.stream_options
    more = b',"include_obfuscation":false' if given and given.include_obfuscation is False else b""
    at = body.rindex(b"}")
    return body[:at] + b',"stream_options":{%b%b}' % (_ASKED, more) + body[at:]
