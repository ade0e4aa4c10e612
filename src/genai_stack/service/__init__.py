"""The API: an ASGI application with OpenAI's routes. `build_app` puts it together."""

from .app import build_app
from .keys import ApiKeys

__all__ = ["ApiKeys", "build_app"]
