"""What the hosting stack made for one model of the catalogue, as it stands in SSM: written by cdk, read by whoever
creates, moves or asks the model's inference components."""

from __future__ import annotations

from typing import Literal

import msgspec

Task = Literal[
    "chat",
    "embedding",
    "rerank",
    "moderation",
    "image",
    "speech",
    "transcription",
    "music",
    "video",
    "anatomy",
]


class HostedModel(msgspec.Struct, frozen=True):
    """One catalogue model in an account. CDK owns the endpoint; promotion owns the components on it.

    `source` is the catalogue's own ("hf://org/name@revision", "s3://bucket/prefix"), what the model serves until a
    version is promoted. `cpus`, `memory_mb` and `accelerators` are one copy's share of a machine. `adapters` is how
    many adapters may stay loaded beside it; 0 serves none. `alarms` roll an update back."""

    name: str
    task: Task
    source: str
    endpoint: str
    role: str
    image: str
    environment: dict[str, str]
    cpus: float
    memory_mb: int
    accelerators: int
    min_copies: int
    max_copies: int
    requests_per_copy: int
    startup_seconds: int
    adapters: int = 0
    alarms: tuple[str, ...] = ()
    asynchronous: bool = False
    """Answers through S3 (InvokeEndpointAsync), for work that outlasts a request."""
    serverless: bool = False
    """Takes texts apart (/v1/anatomy) on processors that come for a request and go after it."""

    @property
    def placed(self) -> bool:
        """Whether it answers from inference components, which are promoted and moved; else its endpoint serves the
        catalogue's source."""
        return not (self.asynchronous or self.serverless)
