"""The tokens an answer says it used, read off its end without parsing the whole."""

from __future__ import annotations

import re

_COUNT = re.compile(rb'"(prompt|completion)_tokens"\s*:\s*(\d{1,12})')


def counts(tail: bytes) -> tuple[int, int]:
    """Prompt and completion tokens in the last `usage` of a JSON body or an SSE stream's end; 0 where unsaid.

    Inside a JSON string the quotes would be escaped, so no generated text can pass for a usage.
    """
    at = tail.rfind(b'"usage"')
    if at < 0:
        return 0, 0
    found = {kind: int(number) for kind, number in _COUNT.findall(tail, at)}
    return found.get(b"prompt", 0), found.get(b"completion", 0)
