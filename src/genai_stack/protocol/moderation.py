"""/v1/moderations: whether a text is harmful, and how, in OpenAI's shape."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from ..errors import RequestError
from .requests import ModelName

MOST_INPUTS = 64
Text = Annotated[str, Meta(min_length=1, max_length=100_000)]
CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip


class ModeratedText(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="text"):
    text: Text


class ModerationRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/moderations. A list of texts has a result for each, a list of parts has one. Pictures aren't read."""

    input: Text | Annotated[list[Text | ModeratedText], Meta(min_length=1, max_length=MOST_INPUTS)]
    model: ModelName | None = None

    @property
    def texts(self) -> list[str]:
        if isinstance(self.input, str):
            return [self.input]
        plain = [one for one in self.input if isinstance(one, str)]
        parts = [one.text for one in self.input if not isinstance(one, str)]
        return [*plain, *(["\n".join(parts)] if parts else [])]


class ModerationResult(Struct, frozen=True):
    """By category: whether the text is of it, a score from 0 to 1, and what of the input was read for it."""

    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[Literal["text"]]]


class Moderations(Struct, frozen=True):
    id: str
    model: str
    results: list[ModerationResult]


def check_moderation(request: ModerationRequest) -> None:
    """A list is of texts or of parts."""
    if isinstance(request.input, list) and len({type(one) for one in request.input}) > 1:
        raise RequestError(
            "'input' mixes texts and parts; send a list of one kind.", param="input", code="invalid_value"
        )
