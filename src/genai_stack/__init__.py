"""Own a generative-AI stack: train, host and serve open models, on AWS or whole on one machine.

`GenAIStack` and `AsyncGenAIStack` are the way in from Python; every error of `genai_stack.errors` is here as well.
Nothing is loaded before it is named: importing this package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import AsyncGenAIStack as AsyncGenAIStack
    from .client import GenAIStack as GenAIStack
    from .errors import *  # noqa: F403

__version__ = "0.1.0"
_CLIENT = ("AsyncGenAIStack", "GenAIStack")


def __getattr__(name: str) -> Any:
    if name in _CLIENT:
        from . import client

        return getattr(client, name)
    if name[:1].isupper():
        from . import errors

        if isinstance(found := getattr(errors, name, None), type) and found.__module__ == errors.__name__:
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    from . import errors

    raised = [
        n
        for n, found in vars(errors).items()
        if isinstance(found, type) and found.__module__ == errors.__name__
    ]
    return sorted([*globals(), *_CLIENT, *raised])
