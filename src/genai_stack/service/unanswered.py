"""What a model has read for a client that left before the answer: stopped in the middle, the model can't say it any
more, so it is asked to count the prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ..errors import GenAIStackError
from ..ports import ModelHost
from ..protocol import ChatRequest, CompletionRequest, TokenizeRequest
from .usage import Used

COUNTING_SECONDS = 5.0


class _Counted(msgspec.Struct):
    count: int


async def read_of(models: ModelHost, name: str, chats: Iterable[Sequence[Mapping[str, str]]]) -> Used:
    """The same for the messages of several chats."""
    found = 0
    for messages in chats:
        body = msgspec.json.encode({"model": name, "messages": messages})
        found += (await read(models, name, msgspec.json.decode(body, type=ChatRequest))).prompt
    return Used(found)


async def read(models: ModelHost, name: str, request: ChatRequest | CompletionRequest) -> Used:
    """The prompt's tokens, and none of the answer. A model that isn't up has read nothing, and one that can't count in
    COUNTING_SECONDS has no more than it counted by then."""
    found = 0
    try:
        async with asyncio.timeout(COUNTING_SECONDS):
            for prompt in _prompts(name, request):
                if isinstance(prompt, int):
                    found += prompt
                    continue
                reply = await models.invoke(name, "/v1/tokenize", msgspec.json.encode(prompt), wait=0.0)
                found += msgspec.json.decode(reply.body, type=_Counted).count
    except (GenAIStackError, TimeoutError, msgspec.MsgspecError):
        pass
    return Used(found)


def _prompts(name: str, request: ChatRequest | CompletionRequest) -> list[TokenizeRequest | int]:
    """Each to be counted, or its count where it came in tokens."""
    if isinstance(request, ChatRequest):
        return [TokenizeRequest(name, messages=request.messages, tools=request.tools)]
    return [TokenizeRequest(name, each) if isinstance(each, str) else len(each) for each in request.prompts]
