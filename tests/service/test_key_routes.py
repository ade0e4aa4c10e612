"""/v1/keys: what an admin's key may do with others, and what not."""

from __future__ import annotations

import json
import logging
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from genai_stack.service.granting import check_gift
from genai_stack.service.keys import COLLECTION
from genai_stack.service.principal import MASTER as STACK
from genai_stack.service.principal import Forbidden, Limits, Principal
from tests.service.conftest import GOOD, MASTER, Answer, Api, assert_problem
from tests.service.fakes import CHAT

ROUTE = "/v1/chat/completions"
ALL: tuple[Any, ...] = ("inference", "files", "admin")


def make(api: Api, key: str = MASTER, headers: dict[str, str] | None = None, **asked: Any) -> Answer:
    return api.call("POST", "/v1/keys", {"name": "made", **asked}, headers, key=key)


def listed(api: Api, key: str, query: str = "") -> set[str]:
    return {card["id"] for card in api.get(f"/v1/keys?limit=100{query}", key=key).json()["data"]}


def test_the_life_of_a_key(api: Api) -> None:
    limits = {"requests_per_minute": 600, "budget": 50.0}
    made = make(api, tenant="acme", scopes=["inference"], models=[CHAT], expires_in=60, limits=limits)
    assert made.status == 200
    assert made.headers["cache-control"] == "no-store"
    card = made.json()
    key, id = card.pop("key"), card["id"]
    assert card["object"] == "key"
    assert (card["tenant"], card["scopes"], card["models"]) == ("acme", ["inference"], [CHAT])
    assert card["limits"] == limits
    assert card["expires"] - card["created"] == pytest.approx(60)
    assert api.get(f"/v1/keys/{id}").json() == card
    assert api.call("POST", ROUTE, GOOD[ROUTE], key=key).status == 200
    turned = api.call("POST", f"/v1/keys/{id}/rotate", None)
    assert turned.headers["cache-control"] == "no-store"
    second = turned.json()["key"]
    assert_problem(api.call("POST", ROUTE, GOOD[ROUTE], key=key), 401)
    third = api.call("POST", f"/v1/keys/{id}/rotate", {"overlap": 60}).json()["key"]
    for each in (second, third):
        assert api.call("POST", ROUTE, GOOD[ROUTE], key=each).status == 200
    assert api.call("DELETE", f"/v1/keys/{id}").json() == {"id": id, "object": "key.deleted", "deleted": True}
    assert_problem(api.call("POST", ROUTE, GOOD[ROUTE], key=third), 401)
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/rotate")):
        assert_problem(api.call(method, f"/v1/keys/{id}{path}"), 404)


def test_pages(api: Api) -> None:
    ids = sorted(api.keys.create("p", tenant="paged")[0] for _ in range(5))
    found: list[str] = []
    after = ""
    while True:
        page = api.get(f"/v1/keys?tenant=paged&limit=2{after}").json()
        found += [card["id"] for card in page["data"]]
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"
    assert found == ids


def test_only_an_admin_comes_in(api: Api) -> None:
    id, key = api.keys.create("user")
    for method, path in (
        ("GET", ""),
        ("POST", ""),
        ("GET", f"/{id}"),
        ("DELETE", f"/{id}"),
        ("POST", f"/{id}/rotate"),
    ):
        told = api.call(method, f"/v1/keys{path}", {"name": "x"} if method == "POST" else None, key=key)
        assert assert_problem(told, 403)["code"] == "insufficient_scope"
    assert api.keys.get(id)


def test_an_admin_of_a_tenant_knows_no_other(api: Api) -> None:
    id, admin = api.keys.create("admin", tenant="acme", scopes=ALL)
    other, _ = api.keys.create("other", tenant="globex")
    stacks, _ = api.keys.create("stack's", scopes=ALL)
    unknown = api.get("/v1/keys/0123456789abcdef", key=admin).json()
    for foreign in (other, stacks):
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/rotate")):
            told = api.call(method, f"/v1/keys/{foreign}{path}", key=admin)
            assert_problem(told, 404)
            assert told.json() == json.loads(json.dumps(unknown).replace("0123456789abcdef", foreign))
    assert_problem(make(api, admin, tenant="globex"), 403, param="tenant")
    assert_problem(api.get("/v1/keys?tenant=globex", key=admin), 403, param="tenant")
    assert_problem(api.get("/v1/usage?tenant=globex", key=admin), 403, param="tenant")
    made = make(api, admin).json()
    assert made["tenant"] == "acme"
    assert {id, made["id"]} <= listed(api, admin)
    assert not {other, stacks} & listed(api, admin)
    assert api.call("POST", f"/v1/keys/{id}/rotate", key=admin).status == 200, "itself"


def test_an_admin_without_a_tenant_has_all(api: Api) -> None:
    id, admin = api.keys.create("admin", scopes=ALL)
    other, _ = api.keys.create("other", tenant="globex")
    assert {id, other} <= listed(api, admin)
    assert other in listed(api, admin, "&tenant=globex")
    assert id not in listed(api, admin, "&tenant=globex")
    assert make(api, admin, tenant="initech").json()["tenant"] == "initech"
    own = make(api, admin).json()
    assert own["tenant"] == own["id"]
    assert api.call("DELETE", f"/v1/keys/{other}", key=admin).status == 200


def test_a_key_gives_no_more_than_it_has(api: Api) -> None:
    some, limits = ("inference", "admin"), Limits(requests_per_minute=10)
    _, admin = api.keys.create("a", tenant="t", scopes=some, models=("ft:a*", "b"), lasts=100, limits=limits)
    few = {
        "scopes": ["inference"],
        "models": ["ft:ab:*", "b"],
        "expires_in": 90,
        "limits": {"requests_per_minute": 10},
    }
    assert make(api, admin, **few).status == 200
    for change, param in (
        ({"scopes": None}, "scopes"),
        ({"scopes": ["files"]}, "scopes"),
        ({"models": None}, "models"),
        ({"models": ["*"]}, "models"),
        ({"models": ["ft:*"]}, "models"),
        ({"models": ["b", "c"]}, "models"),
        ({"expires_in": None}, "expires_in"),
        ({"expires_in": 200}, "expires_in"),
        ({"limits": None}, "limits.requests_per_minute"),
        ({"limits": {"requests_per_minute": 11}}, "limits.requests_per_minute"),
    ):
        told = assert_problem(make(api, admin, **{**few, **change}), 403, param=param)
        assert told["code"] == "insufficient_scope"


def test_nor_does_it_get_more_by_a_rotation(api: Api) -> None:
    _, admin = api.keys.create("a", tenant="t2", scopes=("admin",))
    wide, secret = api.keys.create("w", tenant="t2")
    assert_problem(api.call("POST", f"/v1/keys/{wide}/rotate", key=admin), 403, param="scopes")
    assert api.call("POST", ROUTE, GOOD[ROUTE], key=secret).status == 200, "as it was"
    assert api.call("DELETE", f"/v1/keys/{wide}", key=admin).status == 200, "ending it gives nothing"


def test_the_stack_s_own_key_gives_all() -> None:
    check_gift(STACK, ALL, None, None, Limits())
    with pytest.raises(Forbidden):
        check_gift(Principal("k", "k", "t", ("admin",)), ("inference",), None, None, Limits())


def test_one_idempotency_key_makes_one_key(api: Api) -> None:
    again = {"idempotency-key": secrets.token_hex(8)}
    before = listed(api, MASTER, "&tenant=once")
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: make(api, headers=again, tenant="once"), range(20)))
    (made,) = [answer.json() for answer in found if answer.status == 200]
    told = [answer for answer in found if answer.status != 200]
    assert {assert_problem(answer, 409)["code"] for answer in told} == {"key_shown_once"}
    assert {answer.headers["x-should-retry"] for answer in told} == {"false"}
    assert all(made["id"] in answer.json()["error"]["message"] for answer in told)
    assert listed(api, MASTER, "&tenant=once") - before == {made["id"]}
    assert assert_problem(make(api, headers=again, tenant="twice"), 409)["code"] == "idempotency_key_reused"
    api.call("DELETE", f"/v1/keys/{made['id']}")
    assert assert_problem(make(api, headers=again, tenant="once"), 409)["code"] == "key_shown_once"


@pytest.mark.parametrize("bad", [
    {"name": ""}, {"name": None}, {"scopes": []}, {"scopes": ["root"]}, {"tenant": "a/b"}, {"models": ["a b"]},
    {"expires_in": 0}, {"expires_in": 1e12}, {"limits": {"requests_per_minute": 0}}, {"limits": {"budget": -1}},
    {"secret": "x"},
])  # fmt: skip
def test_bad_requests(api: Api, bad: dict[str, Any]) -> None:
    assert_problem(make(api, **bad), 400)


def test_no_log_line_and_no_record_holds_a_secret(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    _, admin = api.keys.create("a", scopes=ALL)
    with caplog.at_level(logging.DEBUG):
        made = make(api, admin).json()
        turned = api.call("POST", f"/v1/keys/{made['id']}/rotate", key=admin).json()
        api.call("DELETE", f"/v1/keys/{made['id']}", key=admin)
        time.sleep(0.05)
    told = "\n".join(record.getMessage() for record in caplog.records)
    kept = json.dumps([record.item for (where, _), record in api.records.kept.items() if where == COLLECTION])
    for secret in (made["key"], turned["key"], admin):
        assert secret not in told
        assert secret not in kept
    for event in ("key_made", "key_rotated", "key_revoked"):
        assert f'"event":"{event}"' in told
