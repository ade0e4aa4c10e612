"""The API over real stores of this machine and a host that makes films."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from genai_stack.config import PriceConfig, ServiceConfig, StackConfig
from genai_stack.ports import Services
from genai_stack.registry import RecordedModels
from genai_stack.service import ApiKeys, build_app
from tests.service.conftest import MASTER, Api
from tests.service.fakes import serving
from tests.service.resources.conftest import Stack, stores
from tests.service.resources.queue import HandQueue
from tests.service.videos.filming import MODELS, FilmHost

CONFIG = StackConfig(
    prices=(PriceConfig("films", hour=3600.0),), service=ServiceConfig(max_body_bytes=64 * 1024)
)


def filming(root: Path, jobs: HandQueue) -> Services:
    made = stores(root, jobs)
    registry: Any = RecordedModels(made.records, MODELS)
    return msgspec.structs.replace(made, models=FilmHost(), registry=registry)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    jobs = HandQueue()
    services = filming(tmp_path_factory.mktemp("stack"), jobs)
    keys = ApiKeys(services.records, MASTER)
    _, other = keys.create("other", tenant="other")
    host: Any = services.models
    registry: Any = services.registry
    records: Any = services.records
    with serving(build_app(services, keys=keys, config=CONFIG)) as port:
        yield Stack(Api(port, host, registry, records, keys), services, jobs, other)


@pytest.fixture
def host(stack: Stack) -> Iterator[FilmHost]:
    host: Any = stack.api.host
    host.reset()
    yield host
    host.hanging = False


@pytest.fixture
def client(stack: Stack, host: FilmHost) -> Iterator[openai.OpenAI]:
    with stack.client() as made:
        yield made
