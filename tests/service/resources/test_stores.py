"""/v1/vector_stores, driven by the openai client with strict validation, over the index of this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from genai_stack.local.vectors import SqliteVectors
from genai_stack.service import ApiKeys, build_app
from tests.service.conftest import MASTER, assert_problem
from tests.service.fakes import EMBED, serving
from tests.service.resources.conftest import Stack, stores
from tests.service.resources.embedding import WINDOW, TextReader, WordHost
from tests.service.resources.queue import HandQueue

WORDS = {
    "cats": "The cat sleeps on the warm windowsill and purrs all day.",
    "ships": "A ship crosses the ocean and brings containers to the harbour.",
    "bread": "Knead the dough, let it rise, and bake the bread in a hot oven.",
}


@pytest.fixture
def host(stack: Stack) -> Iterator[Any]:
    host: Any = stack.api.host
    yield host
    host.held, host.broken = False, 0


def uploaded(client: openai.OpenAI, text: str, name: str = "a.txt") -> str:
    return client.files.create(file=(name, text.encode()), purpose="assistants").id


def until_done(look: Any) -> Any:
    deadline = time.monotonic() + 60
    while (found := look()).status == "in_progress":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def filled(client: openai.OpenAI, **more: Any) -> tuple[Any, dict[str, str]]:
    ids = {name: uploaded(client, text, f"{name}.txt") for name, text in WORDS.items()}
    store = client.vector_stores.create(file_ids=list(ids.values()), **more)
    return until_done(lambda: client.vector_stores.retrieve(store.id)), ids


def test_a_search_is_in_the_ledger(stack: Stack, client: openai.OpenAI) -> None:
    store, _ = filled(client)
    _, key = stack.api.keys.create("searcher", tenant="master")
    id = key.split("-")[2]
    with stack.client(key) as searcher:
        searcher.vector_stores.search(store.id, query="bake bread")
    until = time.monotonic() + 60
    while not (rows := [r for r in usage(stack) if r["key"] == id]):
        assert time.monotonic() < until
        time.sleep(0.05)
    (row,) = rows
    assert (row["model"], row["requests"]) == (EMBED, 1)
    assert row["prompt_tokens"] > 0


def usage(stack: Stack) -> list[Any]:
    return list(stack.api.get("/v1/usage?by=key,model").json()["data"])


def test_from_files_to_answers(client: openai.OpenAI) -> None:
    store, ids = filled(client, name="things", metadata={"for": "me"}, description="All of it")
    assert (store.status, store.name, store.metadata) == ("completed", "things", {"for": "me"})
    assert (store.file_counts.completed, store.file_counts.total) == (3, 3)
    assert store.usage_bytes > 0
    for ranker in ("auto", "none", EMBED):  # the last reads what the first finds
        found = client.vector_stores.search(
            store.id, query="bake bread in an oven", ranking_options={"ranker": ranker}
        )
        best = found.data[0]
        assert (best.file_id, best.filename) == (ids["bread"], "bread.txt")
        assert best.content[0].text == WORDS["bread"]
        assert 0 < best.score <= 1
        assert [hit.score for hit in found.data] == sorted((hit.score for hit in found.data), reverse=True)
    assert len(client.vector_stores.search(store.id, query="the", max_num_results=2).data) == 2
    both = client.vector_stores.search(store.id, query=["ship harbour", "cat purrs"], max_num_results=2)
    assert {hit.file_id for hit in both.data} == {ids["ships"], ids["cats"]}
    strict = client.vector_stores.search(store.id, query="oven", ranking_options={"score_threshold": 0.99})
    assert [hit.file_id for hit in strict.data] == [ids["bread"]]
    assert store.id in [s.id for s in client.vector_stores.list(limit=1)]
    changed = client.vector_stores.update(store.id, name="other", metadata=None)
    assert (changed.name, changed.metadata) == ("other", None)
    assert client.vector_stores.delete(store.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.retrieve(store.id)
    assert client.files.retrieve(ids["cats"]).id == ids["cats"]


async def test_asynchronous_and_raw(stack: Stack, client: openai.OpenAI) -> None:
    store, ids = filled(client)
    async with openai.AsyncOpenAI(
        base_url=stack.api.base_url, api_key=MASTER, max_retries=0, _strict_response_validation=True
    ) as other:
        raw = await other.vector_stores.with_raw_response.retrieve(store.id)
        assert raw.parse().id == store.id
        found = await other.vector_stores.search(store.id, query="the cat purrs")
        assert found.data[0].file_id == ids["cats"]
        batch = await other.vector_stores.file_batches.create_and_poll(
            store.id, files=[{"file_id": ids["cats"], "attributes": {"n": 1}}], poll_interval_ms=20
        )
        assert (batch.status, batch.file_counts.completed) == ("completed", 1)
        listed = [f async for f in await other.vector_stores.files.list(store.id, filter="completed")]
        assert {f.id for f in listed} == set(ids.values())


def test_a_long_file_in_passages(client: openai.OpenAI, host: WordHost) -> None:
    text = "\n".join(f"Paragraph {n} is about the thing called item{n}." for n in range(400)) + "  ünï\n"
    store = client.vector_stores.create()
    asked: Any = {"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50}}
    id = uploaded(client, text, "long.md")
    file = client.vector_stores.files.create_and_poll(
        id, vector_store_id=store.id, chunking_strategy=asked, poll_interval_ms=20
    )
    assert (file.status, file.chunking_strategy.to_dict()) == ("completed", asked)
    parts = [part.text for part in client.vector_stores.files.content(id, vector_store_id=store.id)]
    assert len(parts) > 10
    assert "".join(p for p in parts if p) == text
    assert host.longest <= WINDOW
    hit = client.vector_stores.search(store.id, query="item277").data[0]
    assert "item277" in hit.content[0].text
    (span,) = hit.model_extra["spans"]
    assert text[slice(*span)] == hit.content[0].text


def test_filters_go_by_attributes(client: openai.OpenAI) -> None:
    store, ids = filled(client)
    for n, (name, id) in enumerate(ids.items()):
        about = {"name": name, "n": n, "odd": n % 2 == 1}
        changed = client.vector_stores.files.update(id, vector_store_id=store.id, attributes=about)
        assert changed.attributes == about
    cases: list[tuple[Any, set[str]]] = [
        ({"type": "eq", "key": "name", "value": "cats"}, {"cats"}),
        ({"type": "ne", "key": "name", "value": "cats"}, {"ships", "bread"}),
        ({"type": "gte", "key": "n", "value": 1}, {"ships", "bread"}),
        ({"type": "lt", "key": "n", "value": "a"}, set()),
        ({"type": "eq", "key": "odd", "value": 1}, set()),
        ({"type": "eq", "key": "odd", "value": True}, {"ships"}),
        ({"type": "in", "key": "n", "value": [0, 2]}, {"cats", "bread"}),
        ({"type": "nin", "key": "missing", "value": ["x"]}, {"cats", "ships", "bread"}),
    ]
    cases.append(({"type": "and", "filters": [cases[1][0], cases[2][0], cases[6][0]]}, {"bread"}))
    cases.append(({"type": "or", "filters": [cases[0][0], cases[5][0]]}, {"cats", "ships"}))
    for filter, names in cases:
        found = client.vector_stores.search(store.id, query="the and a", filters=filter)
        assert {hit.file_id for hit in found.data} == {ids[name] for name in names}, filter
        assert all(hit.attributes["name"] in names for hit in found.data if hit.attributes)
    cleared = client.vector_stores.files.update(ids["cats"], vector_store_id=store.id, attributes=None)
    assert cleared.attributes == {}


def test_a_file_that_is_none_says_so(client: openai.OpenAI, host: WordHost) -> None:
    store = client.vector_stores.create()
    bad, good = uploaded(client, "boom"), uploaded(client, "good")
    batch = client.vector_stores.file_batches.create_and_poll(
        store.id, file_ids=[bad, good], poll_interval_ms=20
    )
    assert (batch.status, batch.file_counts.failed, batch.file_counts.completed) == ("completed", 1, 1)
    failed = client.vector_stores.files.retrieve(bad, vector_store_id=store.id)
    assert failed.last_error is not None
    assert (failed.status, failed.last_error.code, failed.last_error.message) == (
        "failed",
        "invalid_file",
        "It went off.",
    )
    assert [f.id for f in client.vector_stores.files.list(store.id, filter="failed")] == [bad]
    listed = client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, order="asc")
    assert [f.id for f in listed] == [bad, good]


def test_a_model_that_breaks_is_asked_again(
    client: openai.OpenAI, host: WordHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genai_stack.service.resources.embedder.PAUSE_SECONDS", 0.01)
    store = client.vector_stores.create()
    host.broken = 3
    done = client.vector_stores.files.create_and_poll(
        uploaded(client, "good"), vector_store_id=store.id, poll_interval_ms=20
    )
    assert done.status == "completed"
    host.broken = 100
    id = uploaded(client, "good")
    done = client.vector_stores.files.create_and_poll(id, vector_store_id=store.id, poll_interval_ms=20)
    assert done.last_error is not None
    assert (done.status, done.last_error.code) == ("failed", "server_error")
    host.broken = 0
    again = client.vector_stores.files.create_and_poll(id, vector_store_id=store.id, poll_interval_ms=20)
    assert (again.status, again.last_error) == ("completed", None)


def test_cancel_is_final_and_what_is_read_stays(client: openai.OpenAI, host: WordHost) -> None:
    store, ids = filled(client)
    host.held = True
    new = [uploaded(client, f"slow words {n}") for n in range(4)]
    batch = client.vector_stores.file_batches.create(store.id, file_ids=new)
    assert batch.status == "in_progress"
    with pytest.raises(openai.ConflictError) as caught:
        client.files.delete(new[0])
    assert caught.value.code == "file_in_use"
    cancelled = client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    assert (cancelled.status, cancelled.file_counts.cancelled) == ("cancelled", 4)
    host.held = False
    assert client.files.delete(new[0]).deleted
    assert client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id).status == "cancelled"
    assert {hit.file_id for hit in client.vector_stores.search(store.id, query="slow words cat").data} <= set(
        ids.values()
    )


def test_a_file_leaves_its_stores(client: openai.OpenAI) -> None:
    store, ids = filled(client)
    assert client.vector_stores.files.delete(ids["cats"], vector_store_id=store.id).deleted
    assert client.files.delete(ids["ships"]).deleted
    found = client.vector_stores.search(store.id, query="the cat, a ship, the oven")
    assert {hit.file_id for hit in found.data} == {ids["bread"]}
    for name in ("cats", "ships"):
        with pytest.raises(openai.NotFoundError):
            client.vector_stores.files.retrieve(ids[name], vector_store_id=store.id)
    counts = client.vector_stores.retrieve(store.id).file_counts
    assert (counts.total, counts.completed) == (1, 1)


def test_pages_go_both_ways(client: openai.OpenAI) -> None:
    made = [client.vector_stores.create(name=str(n)).id for n in range(4)]
    page = client.vector_stores.list(limit=2, order="asc", after=made[0])
    assert [s.id for s in page.data] == made[1:3]
    assert page.has_more
    before = client.vector_stores.list(limit=2, order="asc", before=made[3])
    assert [s.id for s in before.data] == made[1:3]


def test_a_create_sent_again_has_one_effect(client: openai.OpenAI) -> None:
    asked: Any = {"name": "once", "extra_headers": {"Idempotency-Key": "store-1"}}
    assert client.vector_stores.create(**asked).id == client.vector_stores.create(**asked).id
    with pytest.raises(openai.ConflictError):
        client.vector_stores.create(**{**asked, "name": "twice"})


def test_a_store_expires(client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    store, ids = filled(client, expires_after={"anchor": "last_active_at", "days": 1})
    assert store.expires_at == store.last_active_at + 86_400

    class Later:
        time = staticmethod(lambda: store.expires_at + 1.0)

    monkeypatch.setattr("genai_stack.service.resources.stores.time", Later)
    expired = client.vector_stores.retrieve(store.id)
    assert (expired.status, expired.file_counts.total) == ("expired", 0)
    with pytest.raises(openai.BadRequestError) as caught:
        client.vector_stores.search(store.id, query="cat")
    assert caught.value.code == "vector_store_expired"
    with pytest.raises(openai.BadRequestError):
        client.vector_stores.files.create(store.id, file_id=ids["cats"])


def test_another_tenants_store_is_an_unknown_one(stack: Stack, client: openai.OpenAI) -> None:
    store, ids = filled(client)
    base = f"/v1/vector_stores/{store.id}"
    told = set()
    for path in (base, f"{base}x", "/v1/vector_stores/.."):
        told.add(assert_problem(stack.api.call("GET", path, key=stack.other), 404)["code"])
    for method, path, body in (
        ("GET", f"{base}/files", None),
        ("POST", f"{base}/search", {"query": "cat"}),
        ("POST", f"{base}/files", {"file_id": ids["cats"]}),
        ("GET", f"{base}/files/{ids['cats']}/content", None),
        ("DELETE", base, None),
    ):
        told.add(assert_problem(stack.api.call(method, path, body, key=stack.other), 404)["code"])
    assert told == {"not_found"}
    mine = stack.api.call("POST", "/v1/vector_stores", {}, key=stack.other).json()["id"]
    path, body = f"/v1/vector_stores/{mine}/files", {"file_id": ids["cats"]}
    assert_problem(stack.api.call("POST", path, body, key=stack.other), 404, param="file_id")
    asked = {"file_ids": [ids["cats"]]}
    assert_problem(stack.api.call("POST", "/v1/vector_stores", asked, key=stack.other), 404, param="file_ids")


DEEP: Any = {"type": "eq", "key": "a", "value": 1}
for _ in range(9):
    DEEP = {"type": "and", "filters": [DEEP]}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("", {"color": 1}, "color"),
        ("", {"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
        ("/{id}/search", {"query": "x", "rewrite_query": True}, "rewrite_query"),
        ("/{id}/search", {"query": " "}, "query"),
        ("/{id}/search", {"query": "x", "filters": DEEP}, "filters"),
        ("/{id}/search", {"query": "x", "max_num_results": 51}, "max_num_results"),
        ("/{id}/search", {"query": "x", "ranking_options": {"ranker": "best"}}, "ranking_options.ranker"),
        ("/{id}/search", {"query": "x", "filters": {"type": "like", "key": "a", "value": 1}}, "filters.type"),
        ("/{id}/files", {"file_id": "file-x", "attributes": {"a": [1]}}, "attributes[...]"),
        ("/{id}/file_batches", {}, "file_ids"),
        ("/{id}/file_batches", {"file_ids": ["a"], "files": [{"file_id": "a"}]}, "file_ids"),
        ("/{id}/file_batches", {"file_ids": ["a", "a"]}, "file_ids"),
    ],
)
def test_requests_that_are_none(
    stack: Stack, client: openai.OpenAI, path: str, body: dict[str, Any], param: str
) -> None:
    store = client.vector_stores.create().id
    assert_problem(stack.api.post("/v1/vector_stores" + path.format(id=store), body), 400, param=param)


def test_an_overlap_of_more_than_half(client: openai.OpenAI) -> None:
    asked: Any = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.vector_stores.create(chunking_strategy=asked)
    assert caught.value.param == "chunking_strategy.static.chunk_overlap_tokens"


def test_what_was_in_progress_goes_on_after_a_crash(tmp_path: Path) -> None:
    def services() -> Any:
        return msgspec.structs.replace(
            stores(tmp_path, HandQueue()), models=WordHost(), vectors=SqliteVectors(tmp_path / "v"),
            reader=TextReader(),
        )  # fmt: skip

    def client(port: int) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=f"http://127.0.0.1:{port}/v1",
            api_key=MASTER,
            max_retries=0,
            _strict_response_validation=True,
        )

    first = services()
    first.models.held = True
    with serving(build_app(first, keys=ApiKeys(first.records, MASTER))) as port, client(port) as asking:
        id = uploaded(asking, WORDS["cats"])
        store = asking.vector_stores.create(file_ids=[id])
        assert store.file_counts.in_progress == 1
    second = services()
    with serving(build_app(second, keys=ApiKeys(second.records, MASTER))) as port, client(port) as asking:
        done = until_done(lambda: asking.vector_stores.retrieve(store.id))
        assert done.file_counts.completed == 1
        assert asking.vector_stores.search(store.id, query="cat").data[0].file_id == id
    for each in (first, second):
        each.vectors.close()


def test_without_an_index_there_are_none(stack: Stack, tmp_path: Path) -> None:
    services = stores(tmp_path, HandQueue())
    with serving(build_app(services, keys=ApiKeys(services.records, MASTER))) as port:
        api: Any = stack.api._replace(port=port)
        told = assert_problem(api.call("POST", "/v1/vector_stores/vs_x/search", {"query": "x"}), 404)
        assert told["code"] == "no_vector_stores"
