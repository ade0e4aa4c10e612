"""The API over real stores of this machine and a host that says what it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import openai
import pytest

from genai_stack.local.vectors import SqliteVectors
from genai_stack.service import ApiKeys, build_app
from tests.service.conftest import MASTER, Api
from tests.service.fakes import serving
from tests.service.resources.conftest import Stack, stores
from tests.service.resources.embedding import TextReader
from tests.service.resources.queue import HandQueue
from tests.service.responses.talking import TalkHost


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    jobs, root = HandQueue(), tmp_path_factory.mktemp("stack")
    index = SqliteVectors(root / "vectors")
    services = msgspec.structs.replace(
        stores(root, jobs), models=TalkHost(), vectors=index, reader=TextReader()
    )
    keys = ApiKeys(services.records, MASTER)
    _, other = keys.create("other", tenant="other")
    host: Any = services.models
    registry: Any = services.registry
    records: Any = services.records
    with serving(build_app(services, keys=keys, keep_alive=0.2)) as port:
        yield Stack(Api(port, host, registry, records, keys), services, jobs, other)
    index.close()


@pytest.fixture
def host(stack: Stack) -> Iterator[TalkHost]:
    host: Any = stack.api.host
    host.calm()
    yield host
    host.calm()


@pytest.fixture
def client(stack: Stack, host: TalkHost) -> Iterator[openai.OpenAI]:
    with stack.client() as made:
        yield made
