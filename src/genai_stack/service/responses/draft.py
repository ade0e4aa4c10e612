"""The output of a response as it grows: items from a model's chat events, and the events that tell of them.

Events are OpenAI's (https://platform.openai.com/docs/api-reference/responses-streaming), without `sequence_number`,
which whoever sends them adds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ...protocol.items import (
    PREFIXES,
    FileSearchItem,
    FoundText,
    FunctionCallItem,
    Item,
    ItemStatus,
    MessageItem,
    OutputText,
    without_results,
)
from ...protocol.replies import ChatChunkChoice, TokenLogprob, ToolCallDelta
from ..resources import ids
from .citing import citations
from .naming import OUTPUT, own

Event = dict[str, Any]
LONG = 20_000
"""Characters to look through for citations: a few milliseconds."""


class Draft:
    """`passages` are what the model may be cited with. `finish` is how the model said it ended. The items' ids are of
    the response `id`."""

    def __init__(self, id: str, passages: Sequence[FoundText], *, logprobs: bool) -> None:
        self._id, self.passages, self._logprobs = id, passages, logprobs
        self.output: list[Item] = []
        self.finish: str | None = None
        self._open: _Message | _Call | None = None

    def searched(self, query: str, found: list[FoundText], *, results: bool) -> Iterator[Event]:
        """A search that was made; it is the first item."""
        place, id = len(self.output), self._named("file_search_call")
        item = FileSearchItem(id, [query], "in_progress")
        yield _added(place, item)
        for step in ("in_progress", "searching", "completed"):
            yield {"type": f"response.file_search_call.{step}", "item_id": id, "output_index": place}
        item = FileSearchItem(id, [query], results=found)
        self.output.append(item)
        yield _done(place, item if results else without_results(item))

    def take(self, choice: ChatChunkChoice) -> Iterator[Event]:
        """What a chunk adds."""
        delta, scored = choice.delta, choice.logprobs.content or [] if choice.logprobs else []
        if delta.content or (scored and not delta.tool_calls):
            if not isinstance(self._open, _Message):
                yield from self.close("completed")
                self._open = _Message(self._named("message"), len(self.output), self.passages, self._logprobs)
                yield from self._open.begin()
            yield self._open.add(delta.content or "", scored)
        for call in delta.tool_calls or ():
            if not isinstance(self._open, _Call) or self._open.index != call.index:
                yield from self.close("completed")
                self._open = _Call(self._named("function_call"), len(self.output), call)
                yield self._open.begin()
            if call.function and call.function.arguments:
                yield self._open.add(call.function.arguments)
        self.finish = choice.finish_reason or self.finish

    def cites(self, choice: ChatChunkChoice | None) -> bool:
        """Whether `take` of the choice, or `end` where it is None, looks through so much text that it keeps others
        waiting."""
        closes = isinstance(self._open, _Message) and (choice is None or bool(choice.delta.tool_calls))
        return closes and self._open.size >= LONG  # type: ignore[union-attr]

    def end(self) -> Iterator[Event]:
        """The model has ended; an answer without a word is an empty message."""
        status: ItemStatus = "completed" if self.finish in ("stop", "tool_calls") else "incomplete"
        if self._open is None and not any(not isinstance(item, FileSearchItem) for item in self.output):
            self._open = _Message(self._named("message"), len(self.output), (), self._logprobs)
            yield from self._open.begin()
        yield from self.close(status)

    def _named(self, kind: str) -> str:
        """The id of the next item."""
        return own(PREFIXES[kind], self._id, OUTPUT + len(self.output))

    def close(self, status: ItemStatus) -> Iterator[Event]:
        """Ends the item that is being written, where there is one."""
        if self._open is not None:
            events, item = self._open.end(status)
            self._open = None
            self.output.append(item)
            yield from events


class _Message:
    def __init__(self, id: str, place: int, passages: Sequence[FoundText], logprobs: bool) -> None:
        self._id, self._place, self._passages = id, place, passages
        self._texts: list[str] = []
        self._scored: list[TokenLogprob] | None = [] if logprobs else None

    @property
    def size(self) -> int:
        """Characters to look through: the answer's with each passage, and the passages' own."""
        written = sum(map(len, self._texts))
        return sum(written + len(passage.text) for passage in self._passages)

    def begin(self) -> Iterator[Event]:
        yield _added(self._place, MessageItem(self._id, "assistant", [], "in_progress"))
        yield {"type": "response.content_part.added", **self._at(), "part": OutputText("")}

    def add(self, text: str, scored: list[TokenLogprob]) -> Event:
        self._texts.append(text)
        if self._scored is not None:
            self._scored += scored
        told = _told(scored) if self._scored is not None else []
        return {"type": "response.output_text.delta", **self._at(), "delta": text, "logprobs": told}

    def end(self, status: ItemStatus) -> tuple[list[Event], MessageItem]:
        text = "".join(self._texts)
        cited = citations(text, self._passages)
        part = OutputText(text, cited, self._scored)
        item = MessageItem(self._id, "assistant", [part], status)
        events: list[Event] = [
            {
                "type": "response.output_text.annotation.added",
                **self._at(),
                "annotation_index": number,
                "annotation": citation,
            }
            for number, citation in enumerate(cited)
        ]
        events += [
            {
                "type": "response.output_text.done",
                **self._at(),
                "text": text,
                "logprobs": _told(self._scored or []),
            },
            {"type": "response.content_part.done", **self._at(), "part": part},
            _done(self._place, item),
        ]
        return events, item

    def _at(self) -> Event:
        return {"item_id": self._id, "output_index": self._place, "content_index": 0}


class _Call:
    def __init__(self, id: str, place: int, first: ToolCallDelta) -> None:
        self._place, self.index = place, first.index
        self._item = FunctionCallItem(
            id,
            first.id or ids.new("call_"),
            first.function.name or "" if first.function else "",
            "",
            "in_progress",
        )
        self._arguments: list[str] = []

    def begin(self) -> Event:
        return _added(self._place, self._item)

    def add(self, arguments: str) -> Event:
        self._arguments.append(arguments)
        return {"type": "response.function_call_arguments.delta", **self._at(), "delta": arguments}

    def end(self, status: ItemStatus) -> tuple[list[Event], FunctionCallItem]:
        arguments = "".join(self._arguments)
        item = msgspec.structs.replace(self._item, arguments=arguments, status=status)
        done = {"type": "response.function_call_arguments.done", **self._at(), "arguments": arguments}
        return [done, _done(self._place, item)], item

    def _at(self) -> Event:
        return {"item_id": self._item.id, "output_index": self._place}


def _added(place: int, item: Item) -> Event:
    return {"type": "response.output_item.added", "output_index": place, "item": item}


def _done(place: int, item: Item) -> Event:
    return {"type": "response.output_item.done", "output_index": place, "item": item}


def _told(scored: list[TokenLogprob]) -> list[dict[str, Any]]:
    return [
        {
            "token": one.token,
            "logprob": one.logprob,
            "top_logprobs": [{"token": top.token, "logprob": top.logprob} for top in one.top_logprobs],
        }
        for one in scored
    ]
