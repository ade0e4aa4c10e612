"""`/v1/embeddings`: texts or token ids to vectors of length 1."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from ..errors import ContextLengthExceeded, RequestError
from ..protocol import EmbeddingRequest
from .answer import Done
from .serving import Served


async def answer(served: Served, request: EmbeddingRequest) -> Done:
    """Raises RequestError and its kin; Overloaded when the queue is full."""
    served.require_embeddings()
    size = request.dimensions or served.width
    if size > served.width:
        raise RequestError(
            f"'dimensions' is {size}, but '{served.name}' gives {served.width}; ask for at most that.",
            param="dimensions",
            code="invalid_value",
        )
    import numpy as np  # here, since a server that generates text has no other use for it

    inputs = [_ids(served, text) for text in request.inputs]
    rows = np.frombuffer(await served.engine.embed(inputs), dtype="<f4").reshape(len(inputs), served.width)
    if size < served.width:
        rows = rows[:, :size]
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    count = sum(map(len, inputs))
    as_base64 = request.encoding_format == "base64"
    data: list[dict[str, Any]] = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(row.astype("<f4").tobytes()).decode() if as_base64 else row.tolist(),
        }
        for index, row in enumerate(rows)
    ]
    usage = {"prompt_tokens": count, "total_tokens": count}
    return Done(msgspec.json.encode({"object": "list", "data": data, "model": request.model, "usage": usage}))


def _ids(served: Served, text: str | list[int]) -> list[int]:
    """Token ids with what the model wants around them. Nothing in a text becomes a control token."""
    if isinstance(text, str):
        served.check_length(len(text), "input")
        ids = served.text.encode_plain(text, special=True)
    else:
        served.check_ids(text, "input")
        ids = text
    if len(ids) > served.context:
        raise ContextLengthExceeded(
            f"This model's maximum context length is {served.context} tokens; an input has {len(ids)}. Shorten it.",
            param="input",
        )
    return ids
