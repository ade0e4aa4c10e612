"""The service's log: one JSON object a line, on the logger `genai_stack.service`.

Nothing a client wrote gets in, the ids of its request and trace excepted, where they are sane: routes are templates,
models are names the registry knows, and an unexpected exception is told by its type and its frames, since its text may
quote a prompt.
"""

from __future__ import annotations

import logging
import re
import time
import traceback

import msgspec

from .embedded import embedded
from .exchange import Exchange

logger = logging.getLogger("genai_stack.service")
_TRACE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_encode = msgspec.json.Encoder().encode


def access(exchange: Exchange, seconds: float, stage: str | None = None) -> None:
    """With `stage` the line is one of CloudWatch's embedded metric format too."""
    if logger.isEnabledFor(logging.INFO):
        trace = _TRACE.fullmatch(exchange.header(b"traceparent") or b"")
        _write(
            logging.INFO,
            {
                **(embedded(exchange, stage) if stage is not None else {}),
                **({"trace_id": trace[1].decode()} if trace else {}),
                "time": time.time(),
                "event": "request",
                "request_id": exchange.request_id.decode(),
                "method": exchange.method if exchange.method.isalpha() else "?",
                "route": exchange.route,
                "status": exchange.status,
                "ms": round(seconds * 1000, 2),
                "key": exchange.principal.id if exchange.principal else None,
                "model": exchange.model,
                "prompt_tokens": exchange.used.prompt,
                "completion_tokens": exchange.used.completion,
            },
        )


def administered(exchange: Exchange, event: str, key: str) -> None:
    """Who made, rotated or revoked which key, by their ids."""
    by = exchange.principal
    entry = {"time": time.time(), "event": event, "request_id": exchange.request_id.decode(), "of": key}
    _write(logging.INFO, {**entry, "key": by.id if by else None})


def unexpected(exchange: Exchange, error: BaseException) -> None:
    frames = [
        f"{f.filename.rpartition('/')[2]}:{f.lineno} {f.name}"
        for f in traceback.extract_tb(error.__traceback__)
    ]
    _write(
        logging.ERROR,
        {
            "time": time.time(),
            "event": "unexpected_error",
            "request_id": exchange.request_id.decode(),
            "route": exchange.route,
            "error": type(error).__qualname__,
            "frames": frames,
        },
    )


def _write(level: int, entry: dict[str, object]) -> None:
    logger.log(level, "%s", _encode(entry).decode())
