"""One response under way: the model is asked, and events and the response come of its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import msgspec

from ...errors import GenAIStackError
from ...ports import ModelHost, ModelVersion
from ...protocol import ChatRequest, decode
from ...protocol.items import FoundText, Item
from ...protocol.refusals import refusal
from ...protocol.replies import ChatChunkChoice, Usage
from ...protocol.responses import (
    RESULTS,
    ConversationRef,
    IncompleteDetails,
    InputTokensDetails,
    Response,
    ResponseFault,
    ResponseRequest,
    ResponseUsage,
    Status,
    TextFormat,
    TextOptions,
)
from ..streaming import whole
from ..unanswered import read
from ..usage import NOTHING, Used
from .chunks import chunks
from .draft import Draft, Event
from .fitting import fitted
from .prompt import chat_body, last_question, translated
from .responses import visible
from .retrieving import Retrieved

ROUTE = "/v1/chat/completions"


class Prepared(NamedTuple):
    """The chat request that a response comes to, and what was retrieved for it; `told` of that is in the prompt."""

    chat: ChatRequest
    body: bytes
    retrieved: Retrieved | None
    told: list[FoundText]


async def prepared(
    models: ModelHost,
    version: ModelVersion,
    request: ResponseRequest,
    items: list[Item],
    retrieved: Retrieved | None,
    *,
    wait: float | None,
) -> Prepared:
    """Raises RequestError in the response's own terms, and what the host raises."""
    passages = retrieved.passages if retrieved else []
    try:
        fit = await fitted(models, version.name, request, items, passages, last_question(items), wait=wait)
        body = msgspec.json.encode(chat_body(request, fit.items, fit.passages))
        chat = decode(ChatRequest, body)
    except GenAIStackError as error:
        raise translated(error, request) from error
    return Prepared(chat, body, retrieved, fit.passages)


def opened(id: str, request: ResponseRequest, status: Status = "in_progress") -> Response:
    """The response before a word of it."""
    conversation = request.conversation_id
    return Response(
        id=id,
        created_at=int(time.time()),
        model=request.model,
        status=status,
        output=[],
        parallel_tool_calls=request.parallel_tool_calls is not False,
        tools=request.tools or [],
        tool_choice=request.tool_choice or "auto",
        text=TextOptions((request.text and request.text.format) or TextFormat(), "medium"),
        truncation=request.truncation or "disabled",
        background=bool(request.background),
        store=request.kept,
        instructions=request.instructions,
        metadata=request.metadata or {},
        temperature=request.temperature,
        top_p=request.top_p,
        top_logprobs=request.top_logprobs or 0,
        max_output_tokens=request.max_output_tokens,
        previous_response_id=request.previous_response_id,
        conversation=None if conversation is None else ConversationRef(conversation),
        user=request.user,
        safety_identifier=request.safety_identifier,
        prompt_cache_key=request.prompt_cache_key,
    )


class Run:
    """`response` is the newest state, `used` what the model has read and written so far, `served` its
    seconds."""

    def __init__(self, request: ResponseRequest, response: Response, ready: Prepared) -> None:
        self.response, self.used, self.served = response, NOTHING, 0.0
        self._request, self._ready, self._model = request, ready, ""
        self.results = RESULTS in (request.include or ())

    async def events(self, models: ModelHost, model: str, *, wait: float | None) -> AsyncGenerator[Event]:
        """All between `created` and the last, which comes from `ending` once the response is kept. The first comes when
        the model has taken the request. Raises what the host raises, and the model's refusal in the response's own
        terms."""
        self._model = model
        draft = Draft(self.response.id, self._ready.told, logprobs=self._request.shows_logprobs)
        began = time.perf_counter()
        try:
            async with models.stream(model, ROUTE, self._ready.body, wait=wait) as stream:
                if stream.status != 200:
                    raise refusal(stream.status, await whole(stream))
                self.response = msgspec.structs.replace(self.response, status="in_progress")
                yield self.telling("in_progress")
                if (found := self._ready.retrieved) is not None:
                    for event in draft.searched(found.query, found.passages, results=self.results):
                        yield event
                async for chunk in chunks(stream):
                    if chunk.usage is not None:
                        self.used = _used(chunk.usage)
                    for choice in chunk.choices:
                        for event in await _told(draft, choice):
                            yield event
        except GenAIStackError as error:
            raise translated(error, self._request) from error
        finally:
            self.served = time.perf_counter() - began
        for event in await _told(draft, None):
            yield event
        self.response = self._ended(draft)

    async def left(self, models: ModelHost) -> None:
        """Nobody waits for it any more. What the model had read by then is used, whether or not it could say so."""
        if self._model and self.used == NOTHING:
            self.used = await read(models, self._model, self._ready.chat)

    def telling(self, kind: str) -> Event:
        return {"type": f"response.{kind}", "response": self.response}

    def ending(self) -> Event:
        shown = visible(self.response, [RESULTS] if self.results else [])
        return {"type": f"response.{self.response.status}", "response": shown}

    def failed(self, error: GenAIStackError) -> Response:
        return msgspec.structs.replace(self.response, status="failed", error=fault(error))

    def _ended(self, draft: Draft) -> Response:
        reasons: dict[str, Any] = {"length": "max_output_tokens", "content_filter": "content_filter"}
        reason = reasons.get(draft.finish or "stop")
        return msgspec.structs.replace(
            self.response,
            status="incomplete" if reason else "completed",
            incomplete_details=IncompleteDetails(reason) if reason else None,
            output=draft.output,
            completed_at=None if reason else int(time.time()),
            usage=ResponseUsage(
                self.used.prompt,
                self.used.completion,
                self.used.prompt + self.used.completion,
                InputTokensDetails(self.used.cached),
            ),
        )


async def _told(draft: Draft, choice: ChatChunkChoice | None) -> list[Event]:
    """What a choice adds, or the model's end. Long texts are looked through in a thread."""
    events = draft.end() if choice is None else draft.take(choice)
    return await asyncio.to_thread(list, events) if draft.cites(choice) else list(events)


def fault(error: BaseException) -> ResponseFault:
    """Why a response failed, as it is shown."""
    if not isinstance(error, GenAIStackError):
        return ResponseFault("server_error", "Something broke in here; create the response again.")
    if error.status == 429:
        return ResponseFault("rate_limit_exceeded", error.message)
    return ResponseFault("server_error" if error.status >= 500 else "invalid_prompt", error.message)


def _used(usage: Usage) -> Used:
    details = usage.prompt_tokens_details
    cached = details.cached_tokens if details else 0
    return Used(usage.prompt_tokens, usage.completion_tokens, min(cached, usage.prompt_tokens))
