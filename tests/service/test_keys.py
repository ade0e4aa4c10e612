"""What a key is for, until when, and whose: over the routes, and by its own words."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from genai_stack.errors import RequestError
from genai_stack.service import keys as keys_module
from genai_stack.service.keys import COLLECTION, ApiKeys
from genai_stack.service.principal import Principal
from tests.service.conftest import GOOD, Api, assert_problem
from tests.service.fakes import CHAT, EMBED, TUNED, MemoryRecords

ROUTE = "/v1/chat/completions"


def test_a_scope_opens_its_routes_only(api: Api) -> None:
    _, asks = api.keys.create("asks", scopes=("inference",))
    _, keeps = api.keys.create("keeps", scopes=("files",))
    assert api.call("POST", ROUTE, GOOD[ROUTE], key=asks).status == 200
    for method, path, key in (
        ("GET", "/v1/files", asks),
        ("GET", "/v1/batches", asks),
        ("DELETE", f"/v1/models/{TUNED}", asks),
        ("POST", ROUTE, keeps),
        ("POST", "/v1/embeddings", keeps),
    ):
        told = assert_problem(api.call(method, path, GOOD.get(path), key=key), 403)
        assert (told["code"], told["type"]) == ("insufficient_scope", "permission_error")
    assert TUNED in api.registry.tuned
    assert api.get("/v1/models", key=keeps).status == 200


def test_a_key_for_some_models_knows_no_others(api: Api) -> None:
    _, key = api.keys.create("one model", models=(EMBED, "ft:base/*"))
    assert [card["id"] for card in api.get("/v1/models", key=key).json()["data"]] == [EMBED, TUNED]
    assert api.call("POST", "/v1/embeddings", GOOD["/v1/embeddings"], key=key).status == 200
    assert api.call("POST", ROUTE, {**GOOD[ROUTE], "model": TUNED}, key=key).status == 200
    before = len(api.host.seen)
    for model in (CHAT, "never-heard-of"):
        told = assert_problem(
            api.call("POST", ROUTE, {**GOOD[ROUTE], "model": model}, key=key), 403, param="model"
        )
        assert told["code"] == "model_not_allowed"
        assert_problem(api.get(f"/v1/models/{model}", key=key), 403)
        assert_problem(api.call("DELETE", f"/v1/models/{model}", key=key), 403)
    assert len(api.host.seen) == before


@pytest.mark.parametrize(("names", "model", "may"), [
    (None, "a", True), (("a",), "a", True), (("a",), "ab", False), (("a*",), "ab", True), (("*",), "x", True),
    (("ft:a:*",), "ft:ab:1", False),
])  # fmt: skip
def test_names_of_models(names: tuple[str, ...] | None, model: str, may: bool) -> None:
    assert Principal("i", "n", "t", models=names).may_use(model) is may


def test_an_expired_key_is_none(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    _, key = api.keys.create("short", lasts=2.0)
    assert api.get("/v1/models", key=key).status == 200
    # The cache must not carry it over its end.
    late, later = time.monotonic() + 2.1, time.time() + 2.1
    monkeypatch.setattr(keys_module.time, "monotonic", lambda: late)
    monkeypatch.setattr(keys_module.time, "time", lambda: later)
    assert assert_problem(api.get("/v1/models", key=key), 401)["code"] == "expired_api_key"


async def test_rotation_changes_the_secret_and_nothing_else() -> None:
    records = MemoryRecords()
    keys, elsewhere = ApiKeys(records), ApiKeys(records)
    id, first = keys.create("a", tenant="acme", scopes=("inference",), models=("m",))
    was = await keys.verify(first.encode())
    second = keys.rotate(id)
    assert (await keys.verify(second.encode())) == was
    assert await elsewhere.verify(second.encode()) == was
    for place in (keys, elsewhere):
        with pytest.raises(keys_module.Unauthorized):
            await place.verify(first.encode())
    third = keys.rotate(id, overlap=60)
    assert await keys.verify(second.encode()) == await keys.verify(third.encode()) == was
    (shown,) = keys.list()
    assert (shown.tenant, shown.scopes, shown.models) == ("acme", ("inference",), ("m",))
    assert shown.rotated
    kept = json.dumps([record.item for record in records.kept.values()])
    assert not any(secret in kept for secret in (first, second, third))


async def test_the_former_key_counts_for_its_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ApiKeys(MemoryRecords())
    id, first = keys.create("a")
    keys.rotate(id, overlap=3)
    assert await keys.verify(first.encode())
    late, later = time.monotonic() + 3.1, time.time() + 3.1
    monkeypatch.setattr(keys_module.time, "monotonic", lambda: late)
    monkeypatch.setattr(keys_module.time, "time", lambda: later)
    with pytest.raises(keys_module.Unauthorized):
        await keys.verify(first.encode())


async def test_a_key_from_before_there_were_tenants_is_its_own() -> None:
    records = MemoryRecords()
    keys = ApiKeys(records)
    id, key = keys_module.mint()
    digest = keys_module._hash(key.encode()).hex()
    records.put(COLLECTION, id, {"name": "old", "created": 1.0, "sha256": digest})
    assert await keys.verify(key.encode()) == Principal(id, "old", id)


@pytest.mark.parametrize("bad", [
    {"tenant": ""}, {"tenant": "a/b"}, {"tenant": "é"}, {"tenant": "a" * 65}, {"scopes": ()},
    {"models": ("a b",)}, {"models": ("*a",)}, {"models": ("",)},
])  # fmt: skip
def test_what_a_key_cannot_say(bad: dict[str, Any]) -> None:
    records = MemoryRecords()
    with pytest.raises(RequestError):
        ApiKeys(records).create("x", **bad)
    assert not records.kept
