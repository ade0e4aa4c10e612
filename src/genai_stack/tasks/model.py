"""The model that a task asks: one chat at a time, whole or as it comes, and what all of it used."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import msgspec

from ..errors import ContextLengthExceeded, EngineFailed, GenAIStackError, RequestError
from ..ports import ModelHost
from ..protocol.task_replies import Ended, TaskUsage
from ..protocol.tasks import TaskRequest
from .neutral import Restoring, restored

CHAT, TOKENIZE = "/v1/chat/completions", "/v1/tokenize"
Refuse = Callable[[int, bytes], GenAIStackError]
"""What to raise for an answer of the model's server with another status than 200."""
Tell = Callable[[str], Awaitable[None]]
"""Takes the next piece of a streamed text."""
Message = dict[str, str]
_ERROR_BODY_MOST = 1 << 20


class Candidate(msgspec.Struct):
    token: str
    logprob: float
    raw: list[int] | None = msgspec.field(default=None, name="bytes")

    @property
    def spelled(self) -> bytes:
        return self.token.encode() if self.raw is None else bytes(self.raw)

    @property
    def probability(self) -> float:
        return math.exp(min(self.logprob, 0.0))


class Token(Candidate):
    top_logprobs: list[Candidate] = []


class _Logprobs(msgspec.Struct):
    content: list[Token] | None = None


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message = msgspec.field(default_factory=_Message)
    delta: _Message = msgspec.field(default_factory=_Message)
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class _Chat(msgspec.Struct):
    """An answer, or an event of a streamed one."""

    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: msgspec.Raw | None = None


class _Counted(msgspec.Struct):
    count: int
    max_model_len: int


class Said(NamedTuple):
    """`tokens` are None where the model's host tells no probabilities."""

    text: str
    finish: Ended
    tokens: list[Token] | None


class TooLong(Exception):
    """The prompt and the answer don't fit the model's context; `error` is what a client is told of it, unless another
    parameter is `blamed`."""

    def __init__(self, model: str, param: str, said: str) -> None:
        self._model, self._said = model, said
        self.error = self.blamed(param)

    def blamed(self, param: str) -> ContextLengthExceeded:
        return ContextLengthExceeded(
            f"The {param} doesn't fit the context of '{self._model}' beside what it is to write: {self._said}",
            param=param,
        )


T = TypeVar("T", bound=msgspec.Struct)


class Model:
    """`name` on `host`, for one request. `served` are the seconds of all calls together, of which several may run at
    once; `unanswered` are the prompts that were left in the middle. `params` turns a field of the chat that a server
    blames into the field of the task's request that it comes from."""

    def __init__(
        self, host: ModelHost, name: str, refuse: Refuse, request: TaskRequest, *, wait: float | None = None
    ) -> None:
        self._host, self.name, self._refuse, self._wait = host, name, refuse, wait
        self._settings: dict[str, Any] = {"model": name, "temperature": request.temperature or 0.0}
        if request.seed is not None:
            self._settings["seed"] = request.seed
        self.prompt = self.completion = self.cached = self.calls = 0
        self.served = 0.0
        self.unanswered: list[list[Message]] = []
        self.params = {"messages": "text", "response_format.json_schema.schema": "schema"}

    @property
    def usage(self) -> TaskUsage:
        return TaskUsage(self.prompt, self.completion, self.prompt + self.completion, self.calls)

    async def chat(
        self,
        messages: list[Message],
        most: int | None,
        *,
        schema: dict[str, Any] | None = None,
        alternatives: int | None = None,
        tell: Tell | None = None,
    ) -> Said:
        """`schema` is enforced while the model writes; `alternatives` asks for the probabilities of so many tokens
        beside each one. Raises TooLong, and what the host and the model's server refuse with."""
        body: dict[str, Any] = {**self._settings, "messages": messages}
        if most is not None:
            body["max_tokens"] = most
        if schema is not None:
            named = {"name": "answer", "schema": schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        if alternatives is not None:
            body |= {"logprobs": True, "top_logprobs": alternatives}
        began = time.perf_counter()
        try:
            if tell is None:
                return await self._whole(body)
            return await self._streamed(body, tell)
        except GenAIStackError as error:
            raise self._translated(error) from None
        finally:
            self.served += time.perf_counter() - began

    async def tokens(self, text: str) -> _Counted | None:
        """How many tokens a text has, and the model's context; None where its server doesn't count."""
        try:
            return await self._ask(
                TOKENIZE, {"model": self.name, "prompt": text, "add_special_tokens": False}, _Counted
            )
        except (RequestError, EngineFailed):
            return None
        except GenAIStackError as error:
            if error.status in (400, 404, 405, 422, 500, 501, 502):
                return None
            raise

    async def _whole(self, body: dict[str, Any]) -> Said:
        try:
            found = await self._ask(CHAT, body, _Chat)
        except asyncio.CancelledError:
            self.unanswered.append(body["messages"])
            raise
        self._count(found.usage)
        self.calls += 1
        if not found.choices:
            raise EngineFailed("The model's server answered without an answer; send the request again.")
        choice = found.choices[0]
        tokens = choice.logprobs.content if choice.logprobs else None
        return Said(restored(choice.message.content or ""), _ending(choice.finish_reason), tokens)

    async def _ask(self, route: str, body: dict[str, Any], kind: type[T]) -> T:
        reply = await self._host.invoke(self.name, route, msgspec.json.encode(body), wait=self._wait)
        if reply.status != 200:
            raise self._refuse(reply.status, reply.body)
        return _read(reply.body, kind)

    async def _streamed(self, body: dict[str, Any], tell: Tell) -> Said:
        options = {"include_usage": True, "continuous_usage_stats": True}
        asked = msgspec.json.encode({**body, "stream": True, "stream_options": options})
        text: list[str] = []
        tokens: list[Token] = []
        finish, usage, clean = None, _Usage(), Restoring()
        self.calls += 1
        try:
            async with self._host.stream(self.name, CHAT, asked, wait=self._wait) as stream:
                events = Events()
                if stream.status != 200:
                    self.calls -= 1
                    raise self._refuse(stream.status, await _error_body(stream))
                async for chunk in stream:
                    for event in events.fed(chunk):
                        told = _read(event, _Chat)
                        if told.error is not None:
                            raise _broken_off()
                        usage = told.usage or usage
                        for choice in told.choices:
                            finish = choice.finish_reason or finish
                            if choice.logprobs and choice.logprobs.content:
                                tokens += choice.logprobs.content
                            if piece := clean.fed(choice.delta.content or ""):
                                text.append(piece)
                                await tell(piece)
        except asyncio.CancelledError:
            if not usage.prompt_tokens:
                self.unanswered.append(body["messages"])
            raise
        finally:
            self._count(usage)
        if finish is None:
            raise _broken_off()
        return Said("".join(text), _ending(finish), tokens or None)

    def _count(self, usage: _Usage | None) -> None:
        if usage is not None:
            self.prompt += usage.prompt_tokens
            self.completion += usage.completion_tokens or 0
            if usage.prompt_tokens_details:
                self.cached += usage.prompt_tokens_details.cached_tokens or 0

    def _translated(self, error: GenAIStackError) -> Exception:
        """What a server says of the chat, said of the request that the chat was made of."""
        if error.status == 400 and _is_length(error):
            return TooLong(self.name, self.params["messages"], error.message)
        if error.param in self.params:
            param = self.params[error.param]
            error.message = error.message.replace(f"'{error.param}'", f"'{param}'")
            error.param = param
        return error


class Events:
    """The data of server-sent events, out of chunks that end anywhere; `[DONE]` is none."""

    def __init__(self) -> None:
        self._rest = b""

    def fed(self, chunk: bytes) -> list[bytes]:
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        data = [line[5:].strip() for line in lines if line.startswith(b"data:")]
        return [event for event in data if event and event != b"[DONE]"]


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EngineFailed(f"The model's server answered otherwise than asked: {error}.") from None


def _broken_off() -> EngineFailed:
    return EngineFailed("The model stopped before its answer was complete; send the request again.")


def _ending(reason: str | None) -> Ended:
    return "length" if reason == "length" else "stop"


def _is_length(error: GenAIStackError) -> bool:
    return error.code == "context_length_exceeded" or "context length" in error.message


async def _error_body(stream: Any) -> bytes:
    body = b""
    async for chunk in stream:
        body += chunk
        if len(body) > _ERROR_BODY_MOST:
            break
    return body
