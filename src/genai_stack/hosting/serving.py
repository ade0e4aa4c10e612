"""What a route needs to know of the model that answers, and how much of its window a request may use."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..errors import ContextLengthExceeded, RequestError
from .architecture import read_json
from .engine import Engine
from .text import Text


class Defaults(msgspec.Struct, frozen=True):
    """Sampling where a request says nothing: generation_config.json's, else OpenAI's."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0


class Served(msgspec.Struct, frozen=True):
    """One model that answers. `context` is its window in tokens; `width` the size of its embeddings, 0 for a model
    that generates text. Its files are in `directory`, those of an adapter on it in `adapter`."""

    name: str
    text: Text
    engine: Engine
    context: int
    vocabulary: int
    width: int
    defaults: Defaults
    directory: Path
    adapter: Path | None = None

    def require_text(self) -> None:
        """Raises RequestError for a model that only embeds."""
        if self.width:
            raise RequestError(
                f"'{self.name}' is an embedding model; use /v1/embeddings, or another model.",
                param="model",
                code="unsupported_model",
            )

    def require_embeddings(self) -> None:
        """Raises RequestError for a model that generates text."""
        if not self.width:
            raise RequestError(
                f"'{self.name}' generates text and has no embeddings; use an embedding model.",
                param="model",
                code="unsupported_model",
            )

    def room(self, prompt: int, asked: int | None, param: str) -> int:
        """How many tokens may be generated after a prompt of `prompt` tokens: `asked`, or what is left.
        Raises ContextLengthExceeded."""
        left = self.context - prompt
        if left < 1 or (asked or 1) > left:
            completion = f", {asked} in the completion" if asked else ""
            raise ContextLengthExceeded(
                f"This model's maximum context length is {self.context} tokens; the request has {prompt} in the {param}"
                f"{completion}. Shorten the {param} or ask for fewer tokens.",
                param=param,
            )
        return asked or left

    def check_grammar(self, grammar: object) -> None:
        """Raises RequestError when there is a grammar and the engine can't enforce one with this model."""
        if grammar is not None and self.engine.structured:
            raise RequestError(
                f"'{self.name}' can't be held to a form: {self.engine.structured}; leave out 'response_format' and "
                "'tools'.",
                param="response_format",
                code="unsupported_parameter",
            )

    def check_length(self, characters: int, param: str) -> None:
        """Refuses a text that can't fit whatever its tokens are, before any work is put into it."""
        if characters > self.context * self.text.longest:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {self.context} tokens; {characters} characters can't fit. "
                f"Shorten the {param}.",
                param=param,
            )

    def check_ids(self, ids: list[int], param: str) -> None:
        """Raises RequestError for an id that names no token."""
        if ids and max(ids) >= self.vocabulary:
            raise RequestError(
                f"'{param}' holds the token id {max(ids)}; this model has {self.vocabulary} tokens.",
                param=param,
                code="invalid_value",
            )


def read_defaults(directory: Path) -> Defaults:
    file = directory / "generation_config.json"
    raw = read_json(file) if file.is_file() else {}
    if not raw.get("do_sample"):
        return Defaults()
    known = {name: raw[name] for name in Defaults.__struct_fields__ if isinstance(raw.get(name), int | float)}
    return msgspec.convert(known, Defaults, strict=False)
