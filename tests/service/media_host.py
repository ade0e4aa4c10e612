"""A model host that answers as vLLM and vLLM-Omni do on the routes of rerankers and media models."""

from __future__ import annotations

import base64
import json
from typing import Any

from genai_stack.ports import ModelVersion, Reply
from tests.service.resources.embedding import WordHost

PICTURE = base64.b64encode(b"\x89PNG picture").decode()
SOUND = b"RIFF sound"
MODELS = (
    ModelVersion("judge", "hf://o/judge", "rerank"),
    ModelVersion("words", "minilm", "embedding"),
    ModelVersion("chat", "builtin"),
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


ANSWERS: dict[str, Any] = {"/v1/rerank": reranked}
