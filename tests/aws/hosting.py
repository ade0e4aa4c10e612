"""Three models of a stage, and the host that asks for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from genai_stack import names
from genai_stack.aws.host import SageMakerHost
from genai_stack.aws.lasting import Lasting
from genai_stack.errors import GenAIStackError, NotFound, ObjectNotFound
from genai_stack.hosted import HostedModel
from genai_stack.ports import ModelVersion, ObjectInfo

CHAT = "/v1/chat/completions"
BODY = b'{"model": "m"}'
TEXT = 'data: {"choices": [{"delta": {"content": "größer €"}}]}\n\ndata: [DONE]\n\n'.encode()


def hosted(name: str, **more: bool) -> HostedModel:
    endpoint = names.endpoint("dev", name)
    return HostedModel(name, "chat", "hf://o/n", endpoint, "role", "image", {}, 1, 1, 1, 1, 1, 1, 60, **more)


class Registry:
    """Four models: `m`, its adapter `a`, `film`, which answers through S3, and `open`, which is taken apart."""

    def __init__(self) -> None:
        versions = (
            ModelVersion("m", "x"),
            ModelVersion("a", "y", base="m"),
            ModelVersion("film", "z", "video"),
            ModelVersion("open", "builtin", "anatomy"),
        )
        self.versions = {version.name: version for version in versions}
        self.versions["film:a"] = ModelVersion("film:a", "y", base="film")
        self.versions["elsewhere"] = ModelVersion("elsewhere", "builtin")

    def get(self, name: str) -> ModelVersion:
        if name not in self.versions:
            raise NotFound("no such model", code="model_not_found")
        return self.versions[name]

    def list(self) -> list[ModelVersion]:
        return list(self.versions.values())


class Bucket:
    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, key: str, data: bytes) -> None:
        self.kept[key] = data

    def get(self, key: str) -> bytes:
        if key not in self.kept:
            raise ObjectNotFound(key)
        return self.kept[key]

    def head(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(self.get(key)), "", time.time())

    def read(self, key: str) -> Iterator[bytes]:
        return iter([self.get(key)])

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)


def made(bucket: Any = None, **options: Any) -> SageMakerHost:
    models = {"m": hosted("m"), "film": hosted("film", asynchronous=True)}
    models["open"] = hosted("open", serverless=True)
    lasting = Lasting("questions", lambda _: bucket, seconds=1.0, pauses=(0.01,)) if bucket else None
    registry: Any = Registry()
    components: Any = None
    return SageMakerHost("dev", registry, models, components, lasting=lasting, pauses=(0.01,), **options)


async def streamed(host: SageMakerHost, model: str = "m", **options: Any) -> bytes:
    """What came; raises what the stream raised, with the bytes before it as `.before`."""
    got = b""
    try:
        async with host.stream(model, CHAT, BODY, **options) as answer:
            async for chunk in answer:
                got += chunk
    except GenAIStackError as error:
        error.before = got  # type: ignore[attr-defined]
        raise
    return got
