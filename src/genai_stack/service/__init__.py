"""The API: an ASGI application with OpenAI's routes. `build_app` puts it together."""

from genai_stack.service.app import build_app
from genai_stack.service.keys import ApiKeys

__all__ = ["ApiKeys", "build_app"]
