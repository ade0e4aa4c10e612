"""`python -m genai_stack.hosting SOURCE --name NAME`: the model server as a process of its own.

With `--announce`, one JSON line tells `port` and `pid` once it listens (or `error`, OpenAI's error object, when the
model can't be used; then it exits with 2), and the process ends when its stdin does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from ..errors import GenAIStackError
from .fleet import Limits
from .server import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m genai_stack.hosting")
    parser.add_argument("source", help="'builtin', 'minilm', a model directory or hf://org/name[@revision]")
    parser.add_argument("--name", required=True, help="the model name that requests say")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one")
    parser.add_argument("--home", type=Path, help="where compiled models are kept")
    parser.add_argument("--precision", choices=("int8", "f32"), default="int8")
    for name in ("threads", "max_running", "max_waiting", "kv_cache_mb", "max_adapters"):
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=getattr(Limits(), name))
    parser.add_argument("--announce", action="store_true")
    given = parser.parse_args()
    limits = Limits(**{name: getattr(given, name) for name in Limits.__struct_fields__})
    try:
        run(
            given.source,
            name=given.name,
            host=given.host,
            port=given.port,
            home=given.home,
            limits=limits,
            on_listening=_announce if given.announce else None,
            until_stdin_ends=given.announce,
        )
    except GenAIStackError as error:
        if given.announce:
            print(json.dumps(error.body()), flush=True)
        print(error.message, file=sys.stderr)
        return 2
    return 0


def _announce(port: int) -> None:
    print(json.dumps({"port": port, "pid": os.getpid()}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
