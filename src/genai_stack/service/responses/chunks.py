"""A model's stream of chat events, parsed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from ...errors import EngineFailed
from ...ports import ReplyStream
from ...protocol.refusals import refusal
from ...protocol.replies import ChatCompletionChunk

_DATA, _DONE, _ERROR = b"data:", b"[DONE]", b'{"error"'
_DECODER = msgspec.json.Decoder(ChatCompletionChunk)


async def chunks(stream: ReplyStream) -> AsyncIterator[ChatCompletionChunk]:
    """Ends with `[DONE]`. Raises EngineFailed for a stream that ends otherwise, and the model's own error."""
    held = b""
    async for received in stream:
        *lines, held = (held + received).split(b"\n")
        for line in lines:
            data = line.strip()
            if not data.startswith(_DATA):
                continue
            data = data[len(_DATA) :].strip()
            if data == _DONE:
                return
            if data.startswith(_ERROR):
                raise refusal(500, data)
            try:
                yield _DECODER.decode(data)
            except msgspec.MsgspecError as error:
                raise EngineFailed(
                    "The model sent an event that can't be read; look at its server's log."
                ) from error
    raise EngineFailed("The model stopped before its answer was complete; send the request again.")
