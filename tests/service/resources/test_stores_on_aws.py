"""/v1/vector_stores over DynamoDB, S3 and S3 Vectors, in a process that is frozen between requests, with a model server
that counts no tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from genai_stack.aws.objects import S3Objects
from genai_stack.aws.records import DynamoRecords
from genai_stack.aws.vectors import S3Vectors
from genai_stack.documents.reader import ChildReader
from genai_stack.ports import ModelVersion, Reply, Services
from genai_stack.registry import RecordedModels
from genai_stack.service import ApiKeys, build_app
from tests.aws.account import account
from tests.contracts.adapters import made_bucket, made_table, made_vector_bucket
from tests.service.conftest import MASTER
from tests.service.fakes import EMBED, serving
from tests.service.resources.embedding import WordHost
from tests.service.resources.queue import HandQueue

UNHOSTED = ModelVersion("a-default", "minilm", "embedding")


class HostedWords(WordHost):
    async def invoke(self, model: str, route: str, body: bytes, *, wait: float | None = None) -> Reply:
        assert model != UNHOSTED.name
        if route == "/v1/tokenize":
            return Reply(404, "application/json", b'{"error": {"message": "no such route"}}')
        return await super().invoke(model, route, body, wait=wait)


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    for name, value in account().environment.items():
        monkeypatch.setenv(name, value)
    records, objects = DynamoRecords(made_table(tmp_path)), S3Objects(made_bucket(tmp_path))
    registry: Any = RecordedModels(records, (UNHOSTED, ModelVersion(EMBED, "x", "embedding")))
    index = S3Vectors(made_vector_bucket(tmp_path), records, objects)
    yield Services(
        objects, records, HandQueue(), registry, HostedWords(),
        vectors=index, reader=ChildReader(), embedders=(EMBED,),
    )  # fmt: skip
    for store in (index, records, objects):
        store.close()


def test_a_file_is_indexed_before_the_answer_that_began_it_ends(services: Services) -> None:
    app = build_app(services, keys=ApiKeys(services.records, MASTER), freezes=True)
    with (
        serving(app) as port,
        openai.OpenAI(
            base_url=f"http://127.0.0.1:{port}/v1",
            api_key=MASTER,
            max_retries=0,
            _strict_response_validation=True,
        ) as client,
    ):
        text = "# Reset\n\nHold the button for ten seconds. " + "Nothing else helps here. " * 60
        file = client.files.create(file=("guide.md", text.encode()), purpose="assistants")
        store = client.vector_stores.create()
        attached = client.vector_stores.files.create(
            vector_store_id=store.id,
            file_id=file.id,
            attributes={"kind": "guide"},
            chunking_strategy={
                "type": "static",
                "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20},
            },
        )
        assert attached.status == "in_progress"
        assert services.vectors is not None
        assert services.vectors.passages(store.id, file.id), "before anybody asked again"
        assert client.vector_stores.retrieve(store.id).file_counts.completed == 1
        for words in ("hold the button", "seconds"):
            (best, *_) = client.vector_stores.search(
                store.id,
                query=words,
                max_num_results=1,
                filters={"type": "eq", "key": "kind", "value": "guide"},
            )
            assert (best.file_id, "button" in best.content[0].text) == (file.id, True)
        client.files.delete(file.id)
        assert not client.vector_stores.search(store.id, query="button").data
