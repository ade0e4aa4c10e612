"""`python -m genai_stack.documents NAME SECONDS BYTES`: the document on standard input, its text on standard output.

NAME tells the kind. SECONDS of processor time and BYTES of memory are this process's limits. Exits with 0 when the text
is written; with 1 after a `{"code", "message"}` in its place; with anything else where a limit ended it.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import warnings

from ..errors import InvalidDocument
from .kinds import text_of

WRITTEN_MOST = 256 * 1024 * 1024


def main() -> int:
    name, seconds, memory = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (WRITTEN_MOST, WRITTEN_MOST))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    logging.disable()
    warnings.simplefilter("ignore")
    try:
        text = text_of(name, sys.stdin.buffer)
    except InvalidDocument as error:
        sys.stdout.write(json.dumps({"code": error.code, "message": error.message}))
        return 1
    sys.stdout.buffer.write(text.encode(errors="replace"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
