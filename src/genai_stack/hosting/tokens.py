"""`/v1/tokenize` and `/v1/detokenize`, in vLLM's shapes."""

from __future__ import annotations

from typing import Any

import msgspec

from ..protocol import DetokenizeRequest, TokenizeRequest, for_template
from .answer import Done
from .prompts import conversation, raw
from .serving import Served


async def tokenize(served: Served, request: TokenizeRequest) -> Done:
    """The very ids that a completion or a chat request with the same prompt or messages would start from."""
    special = request.add_special_tokens is not False
    if request.messages is not None:
        tools = [msgspec.to_builtins(tool) for tool in request.tools or ()]
        messages = [for_template(message) for message in request.messages]
        ids = await conversation(
            served, messages, tools or None, answer=request.add_generation_prompt is not False
        )
    else:
        ids = await raw(served, request.prompt or "", "prompt", special=special)
    body: dict[str, Any] = {
        "count": len(ids),
        "max_model_len": served.context,
        "tokens": ids,
        "token_strs": None,
    }
    if request.return_offsets:
        spans = served.text.spans(request.prompt or "", control=True, special=special)
        body["offsets"] = [span or (0, 0) for _, span in spans]
    if request.return_token_strs:
        body["token_strs"] = [served.text.token_text(i) for i in ids]
    return Done(msgspec.json.encode(body))


async def detokenize(served: Served, request: DetokenizeRequest) -> Done:
    served.check_ids(request.tokens, "tokens")
    return Done(msgspec.json.encode({"prompt": served.text.decode(request.tokens)}))
