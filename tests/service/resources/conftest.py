"""The API over real stores of this machine, with a job queue that tests move by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import openai
import pytest

from genai_stack.local.objects import DirectoryObjects
from genai_stack.local.records import SqliteRecords
from genai_stack.local.vectors import SqliteVectors
from genai_stack.ports import ModelVersion, Services
from genai_stack.registry import RecordedModels
from genai_stack.service import ApiKeys, build_app
from tests.service.conftest import MASTER, Api
from tests.service.fakes import CHAT, EMBED, FakeHost, serving
from tests.service.resources.embedding import TextReader, WordHost
from tests.service.resources.queue import HandQueue

MODELS = (ModelVersion(CHAT, "builtin"), ModelVersion(EMBED, "minilm", "embedding"))


class Stack(NamedTuple):
    api: Api
    services: Services
    jobs: HandQueue
    other: str
    """A key of another tenant's."""

    def client(self, key: str = MASTER) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=self.api.base_url, api_key=key, max_retries=0, _strict_response_validation=True
        )


def stores(root: Path, jobs: HandQueue) -> Services:
    records = SqliteRecords(root / "records.sqlite")
    registry: Any = RecordedModels(records, MODELS)
    return Services(DirectoryObjects(root / "objects"), records, jobs, registry, FakeHost())


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    jobs, root = HandQueue(), tmp_path_factory.mktemp("stack")
    index = SqliteVectors(root / "vectors")
    services = msgspec.structs.replace(
        stores(root, jobs), models=WordHost(), vectors=index, reader=TextReader()
    )
    keys = ApiKeys(services.records, MASTER)
    _, other = keys.create("other")
    host: Any = services.models
    registry: Any = services.registry
    records: Any = services.records
    with serving(build_app(services, keys=keys)) as port:
        yield Stack(Api(port, host, registry, records, keys), services, jobs, other)
    index.close()


@pytest.fixture
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    with stack.client() as made:
        yield made
