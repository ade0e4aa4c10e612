"""Documents that a model was held to: read, or told honestly that there is none."""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import EngineFailed, RequestError
from .model import Model, Said


def document(model: Model, said: Said, max_tokens: int | None) -> Any:
    """What the model wrote, as JSON. Raises RequestError where it came to no end, for `max_tokens` or its context,
    and EngineFailed where it kept to no form."""
    if said.finish == "length":
        if max_tokens is not None:
            raise RequestError(
                f"'max_tokens' of {max_tokens} cut '{model.name}' off in the middle; raise it, or leave it out.",
                param="max_tokens",
                code="incomplete_output",
            )
        raise RequestError(
            f"'{model.name}' came to no end within its context; ask for less, shorten the {model.params['messages']}, "
            "or name another model.",
            param=model.params["messages"],
            code="incomplete_output",
        )
    try:
        return msgspec.json.decode(said.text)
    except (msgspec.MsgspecError, RecursionError):
        raise EngineFailed(
            f"'{model.name}' wrote something else than it was held to; send the request again, or name another model.",
            code="invalid_output",
        ) from None
