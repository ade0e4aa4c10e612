"""What of a prompt fits into a model's window: found passages, best first, and, where the request says
`truncation: auto`, the newest items.

The model itself counts. Where it doesn't (a host without /v1/tokenize), everything is sent, and the model may refuse.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ...errors import GenAIStackError
from ...ports import ModelHost
from ...protocol.items import FoundText, FunctionCallItem, FunctionOutputItem, Item, MessageItem
from ...protocol.responses import ResponseRequest
from .prompt import chat_body

ANSWER = 256
"""Tokens left for an answer that was given no `max_output_tokens`, or a quarter of the window where that is less."""
ROUNDS = 12
_SHORT = 80
"""Characters below which a passage isn't cut any more."""
_SENTENCES = re.compile(r"[^.!?\n]+[.!?\n]*")


class Fitted(NamedTuple):
    items: list[Item]
    passages: list[FoundText]


class _Counted(msgspec.Struct):
    count: int
    max_model_len: int


async def fitted(
    models: ModelHost,
    model: str,
    request: ResponseRequest,
    items: Sequence[Item],
    passages: Sequence[FoundText],
    question: str,
    *,
    wait: float | None,
) -> Fitted:
    """Raises what the host raises."""
    now = Fitted(list(items), list(passages))
    for _ in range(ROUNDS if passages or request.truncation == "auto" else 0):
        body = chat_body(request, now.items, now.passages)
        counted = await _count(models, model, body, wait)
        if counted is None:
            break
        window = counted.max_model_len
        over = counted.count + (request.max_output_tokens or min(ANSWER, window // 4)) - window
        if over <= 0:
            break
        size = sum(len(str(message["content"])) for message in body["messages"])
        fewer = _less(now, int(over * max(size / counted.count, 1.0)) + 1, question, request)
        if fewer is None:
            break
        now = fewer
    return now


def _less(now: Fitted, characters: int, question: str, request: ResponseRequest) -> Fitted | None:
    """Less by about so many characters; None where there is nothing to leave out."""
    if len(now.passages) > 1:
        left = list(now.passages)
        while len(left) > 1 and characters > 0:
            characters -= len(left.pop().text)
        return Fitted(now.items, left)
    if now.passages:
        only = now.passages[0]
        room = len(only.text) - characters
        if len(only.text) <= _SHORT:
            return Fitted(now.items, [])
        return Fitted(
            now.items, [msgspec.structs.replace(only, text=stretch(only.text, question, max(room, _SHORT)))]
        )
    if request.truncation == "auto" and (items := _newer(now.items, characters)) is not None:
        return Fitted(items, [])
    return None


def _newer(items: list[Item], characters: int) -> list[Item] | None:
    """Without the oldest, but with what system and developer said and the last item; outputs go with their calls."""
    left, calls = [], set[str]()
    for place, item in enumerate(items):
        said = isinstance(item, MessageItem) and item.role in ("system", "developer")
        orphan = isinstance(item, FunctionOutputItem) and item.call_id in calls
        if said or place == len(items) - 1 or (characters <= 0 and not orphan):
            left.append(item)
            continue
        if isinstance(item, FunctionCallItem):
            calls.add(item.call_id)
        characters -= len(msgspec.json.encode(item))
    return left if len(left) < len(items) else None


def stretch(text: str, question: str, characters: int) -> str:
    """The part of a text, of whole sentences where they fit, which has most of the question's words."""
    words = {word for word in re.findall(r"\w+", question.casefold()) if len(word) > 2}
    spans = [match.span() for match in _SENTENCES.finditer(text)] or [(0, len(text))]
    hits = [len(words & set(re.findall(r"\w+", text[start:end].casefold()))) for start, end in spans]
    first = last = max(range(len(spans)), key=lambda at: (hits[at], -at))
    while True:
        sides = [at for at in (first - 1, last + 1) if 0 <= at < len(spans)]
        sides.sort(key=lambda at: -hits[at])
        for at in sides:
            low, high = min(first, at), max(last, at)
            if spans[high][1] - spans[low][0] <= characters:
                first, last = low, high
                break
        else:
            break
    return text[spans[first][0] : spans[last][1]][:characters].strip()


async def _count(models: ModelHost, model: str, body: dict[str, object], wait: float | None) -> _Counted | None:
    asked = {name: body[name] for name in ("model", "messages", "tools") if name in body}
    try:
        reply = await models.invoke(model, "/v1/tokenize", msgspec.json.encode(asked), wait=wait)
        return msgspec.json.decode(reply.body, type=_Counted) if reply.status == 200 else None
    except msgspec.MsgspecError:
        return None
    except GenAIStackError as error:
        if error.status == 404 and error.code != "model_not_found":
            return None
        raise
