"""A model host that answers as vLLM and vLLM-Omni do on the routes of rerankers and media models."""

from __future__ import annotations

import base64
import json
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from genai_stack.ports import ModelVersion, Reply
from tests.service.resources.embedding import WordHost

PICTURE = base64.b64encode(b"\x89PNG picture").decode()
SOUND = b"RIFF sound"
MODELS = (
    ModelVersion("judge", "hf://o/judge", "rerank"),
    ModelVersion("words", "minilm", "embedding"),
    ModelVersion("chat", "builtin"),
    ModelVersion("draws", "hf://o/draws", "image"),
    ModelVersion("speaks", "hf://o/speaks", "speech"),
    ModelVersion("plays", "hf://o/plays", "music"),
    ModelVersion("hears", "hf://o/hears", "transcription"),
    ModelVersion("guard", "hf://o/guard", "moderation"),
)


class VllmHost(WordHost):
    """`kinds` are the content types that bodies came with."""

    def reset(self) -> None:
        super().reset()
        self.kinds: list[str] = []

    async def invoke(
        self,
        model: str,
        route: str,
        body: bytes,
        *,
        wait: float | None = None,
        kind: str = "application/json",
    ) -> Reply:
        if route in ("/v1/embeddings", "/v1/tokenize") or self.body is not None or self.failure is not None:
            return await super().invoke(model, route, body, wait=wait)
        self.seen.append((model, route, body))
        self.kinds.append(kind)
        answer = ANSWERS[route](body, kind)
        if isinstance(answer, bytes):
            return Reply(200, "audio/wav", answer)
        if isinstance(answer, str):
            return Reply(200, "text/plain; charset=utf-8", answer.encode())
        return Reply(200, "application/json", json.dumps(answer).encode())


def reranked(body: bytes, kind: str) -> Any:
    """The longer, the better; in the order of scores, as vLLM has it."""
    asked = json.loads(body)
    assert asked.keys() == {"model", "query", "documents"}
    results = [
        {"index": index, "document": {"text": text}, "relevance_score": len(text) / 100}
        for index, text in enumerate(asked["documents"])
    ]
    results.sort(key=lambda result: -result["relevance_score"])
    return {"id": "score-1", "model": asked["model"], "usage": {"total_tokens": 9}, "results": results}


def drawn(body: bytes, kind: str) -> Any:
    asked = json.loads(body)
    assert (asked["response_format"], asked["model"]) == ("b64_json", "draws")
    picture = {"b64_json": PICTURE, "url": None, "revised_prompt": None}
    return {"created": 7, "data": [picture] * asked.get("n", 1), "size": None, "background": None}


def edited(body: bytes, kind: str) -> Any:
    """Takes what came for a form, as FastAPI does."""
    fields, files = taken_apart(body, kind)
    assert fields["model"] == b"draws"
    assert fields["prompt"] == b"a hat"
    assert [size for name, size in files if name.startswith("image")]
    return {"created": 7, "data": [{"b64_json": PICTURE}]}


def spoken(body: bytes, kind: str) -> Any:
    asked = json.loads(body)
    assert (asked["model"], asked["voice"]) == ("speaks", "vivian")
    assert "stream_format" not in asked
    return SOUND


def played(body: bytes, kind: str) -> Any:
    asked = json.loads(body)
    assert (asked["model"], asked["input"]) == ("plays", "rain")
    assert "stream_format" not in asked
    return SOUND


def heard(body: bytes, kind: str) -> Any:
    fields, files = taken_apart(body, kind)
    assert (fields["model"], files) == (b"hears", [("file", len(SOUND))])
    form = fields.get("response_format", b"json")
    if form == b"text":
        return "Hello there"
    told: dict[str, Any] = {"text": "Hello there", "usage": {"type": "duration", "seconds": 2}}
    if form == b"verbose_json":
        return {"text": "Hello there", "language": "en", "duration": "2.0", "segments": []}
    return told


def judged(body: bytes, kind: str) -> Any:
    asked = json.loads(body)
    assert asked["model"] == "guard"
    text = asked["messages"][0]["content"]
    said = "Safety: Unsafe\nCategories: Violent" if "kill" in text else "Safety: Safe\nCategories: None"
    said = text.removeprefix("say ") if text.startswith("say ") else said
    message = {"role": "assistant", "content": said}
    return {"choices": [{"message": message}], "usage": {"prompt_tokens": 5, "completion_tokens": 3}}


def taken_apart(body: bytes, kind: str) -> tuple[dict[str, bytes], list[tuple[str, int]]]:
    """By the standard library, which knows nothing of how the service reads forms."""
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    fields: dict[str, bytes] = {}
    files: list[tuple[str, int]] = []
    for part in message.iter_parts():  # type: ignore[attr-defined]
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if part.get_filename() is None:
            fields[name] = content
        else:
            files.append((name, len(content)))
    return fields, files


ANSWERS: dict[str, Any] = {
    "/v1/rerank": reranked,
    "/v1/images/generations": drawn,
    "/v1/images/edits": edited,
    "/v1/audio/speech": spoken,
    "/v1/audio/generate": played,
    "/v1/audio/transcriptions": heard,
    "/v1/audio/translations": heard,
    "/v1/chat/completions": judged,
}
