"""Responses that run on behind their request: followed, cancelled, and failed where their process is gone."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from genai_stack.config import StackConfig
from genai_stack.errors import NotFound
from genai_stack.protocol.conversations import ConversationRequest
from genai_stack.protocol.items import MessageItem, OutputText
from genai_stack.protocol.responses import ResponseRequest
from genai_stack.service import ApiKeys, build_app
from genai_stack.service.principal import Limits
from genai_stack.service.resources.once import Claim, Once
from genai_stack.service.responses import background
from genai_stack.service.responses.conversations import Conversations
from genai_stack.service.responses.overflow import Overflow
from genai_stack.service.responses.records import LEASE_SECONDS
from genai_stack.service.responses.responses import Responses
from genai_stack.service.responses.run import opened
from genai_stack.service.responses.turns import Turns
from tests.service.conftest import MASTER, Api, assert_problem
from tests.service.fakes import CHAT, serving
from tests.service.resources.conftest import Stack, stores
from tests.service.resources.queue import HandQueue
from tests.service.responses.talking import TalkHost, chat, chunk


def until(client: openai.OpenAI, id: str, *statuses: str) -> Any:
    deadline = time.monotonic() + 60
    while (found := client.responses.retrieve(id)).status not in statuses:
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return found


def test_it_runs_on_when_it_was_answered(client: openai.OpenAI, host: TalkHost) -> None:
    host.hanging = True
    made = client.responses.create(model=CHAT, input="Hi", background=True)
    assert (made.status, made.background, made.output) == ("queued", True, [])
    assert until(client, made.id, "in_progress").output == []
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=CHAT, input="And?", previous_response_id=made.id)
    assert caught.value.param == "previous_response_id"
    host.hanging = False
    done = until(client, made.id, "completed")
    assert done.output_text == "Hello there"
    assert client.responses.create(model=CHAT, input="And?", previous_response_id=made.id).output_text
    with pytest.raises(openai.ConflictError):
        client.responses.cancel(made.id)
    with pytest.raises(openai.BadRequestError):
        client.responses.retrieve(made.id, stream=True)
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(client.responses.create(model=CHAT, input="Hi").id)


def test_a_cancel_is_final_and_stops_the_model(client: openai.OpenAI, host: TalkHost) -> None:
    host.hanging = True
    made = client.responses.create(model=CHAT, input="Hi", background=True)
    until(client, made.id, "in_progress")
    while not host.running:
        time.sleep(0.005)
    assert client.responses.cancel(made.id).status == "cancelled"
    assert host.running == 0
    assert host.left.is_set()
    assert client.responses.cancel(made.id).status == "cancelled"
    host.hanging = False
    assert client.responses.retrieve(made.id).status == "cancelled"


def test_one_that_is_deleted_while_its_prompt_is_counted_keeps_no_place(
    stack: Stack, host: TalkHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = threading.Event()

    async def slow(*_: Any, **__: Any) -> Any:
        counting.set()
        await asyncio.sleep(60)

    _, key = stack.api.keys.create("twice", tenant="twice", limits=Limits(concurrent=1))
    host.says, host.hanging = lambda asked: chat("Hello")[:-1], True
    with stack.client(key) as mine, ThreadPoolExecutor(1) as pool, monkeypatch.context() as patched:
        made = mine.responses.create(model=CHAT, input="Hi", background=True)
        deadline = time.monotonic() + 60
        while not host.running:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        patched.setattr(TalkHost, "invoke", slow)
        cancelled = pool.submit(mine.responses.cancel, made.id)
        assert counting.wait(60)
        mine.responses.delete(made.id)
        with suppress(openai.NotFoundError):
            cancelled.result()
        host.calm()
        assert mine.responses.create(model=CHAT, input="Hi").output_text == "Hello there"


def test_deleting_one_stops_it(client: openai.OpenAI, host: TalkHost) -> None:
    host.hanging = True
    made = client.responses.create(model=CHAT, input="Hi", background=True)
    while not host.running:
        time.sleep(0.005)
    client.responses.delete(made.id)
    assert host.left.wait(60)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_its_stream_is_taken_up_again(client: openai.OpenAI, host: TalkHost) -> None:
    host.hanging = True
    stream = client.responses.create(model=CHAT, input="Hi", background=True, stream=True)
    seen: list[Any] = []
    for event in stream:
        seen.append(event)
        if event.type == "response.output_text.delta":
            break
    stream.close()
    id = seen[0].response.id
    assert [event.type for event in seen[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert not host.left.is_set()
    host.hanging = False
    rest: list[Any] = list(client.responses.retrieve(id, stream=True, starting_after=seen[-1].sequence_number))
    assert rest[-1].type == "response.completed"
    assert [event.sequence_number for event in (*seen, *rest)] == list(range(len(seen) + len(rest)))
    until(client, id, "completed")
    with client.responses.stream(response_id=id) as again:
        assert [event.sequence_number for event in again] == list(range(len(seen) + len(rest)))
        assert again.get_final_response().output_text == "Hello there"
    assert list(client.responses.retrieve(id, stream=True, starting_after=3)) == [*seen, *rest][4:]
    assert list(client.responses.retrieve(id, stream=True, starting_after=rest[-1].sequence_number)) == []


def test_a_failure_has_its_reason(client: openai.OpenAI, host: TalkHost) -> None:
    host.status, host.says = 400, lambda asked: b'{"error": {"message": "Too long.", "param": "messages"}}'
    made = client.responses.create(model=CHAT, input="Hi", background=True)
    failed = until(client, made.id, "failed")
    assert failed.error is not None
    assert (failed.error.code, failed.error.message) == ("invalid_prompt", "Too long.")


def test_the_same_create_again(client: openai.OpenAI, host: TalkHost) -> None:
    host.hanging = True
    headers = {"Idempotency-Key": "behind"}
    made = [
        client.responses.create(model=CHAT, input="Hi", background=True, extra_headers=headers)
        for _ in range(3)
    ]
    assert len({one.id for one in made}) == 1
    host.hanging = False
    until(client, made[0].id, "completed")
    assert len(host.chats) == 1


def test_one_whose_key_can_t_be_noted_runs_all_the_same(
    client: openai.OpenAI, host: TalkHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create() -> Any:
        key = {"Idempotency-Key": "k-unnoted"}
        return client.with_options(max_retries=0).responses.create(
            model=CHAT, input="Hi", background=True, extra_headers=key
        )

    def away(*_: Any) -> None:
        raise OSError("the store is away")

    with monkeypatch.context() as patched:
        patched.setattr(Once, "made", away)
        made = create()
    assert made.status == "queued"
    assert until(client, made.id, "completed").output_text == "Hello there"
    assert create().id == made.id
    client.responses.delete(made.id)
    with pytest.raises(openai.ConflictError):
        create()


def test_the_same_streamed_create_again_follows_it(client: openai.OpenAI, host: TalkHost) -> None:
    def create() -> Any:
        headers = {"Idempotency-Key": "followed"}
        return client.responses.create(
            model=CHAT, input="Hi", background=True, stream=True, extra_headers=headers
        )

    host.hanging = True
    first = create()
    id = next(first).response.id
    again = create()
    assert next(again).response.id == id
    host.hanging = False
    rest = list(again)
    assert rest[-1].type == "response.completed"
    assert rest == list(first)
    until(client, id, "completed")
    assert list(create())[1:] == rest
    assert len(host.chats) == 1


def test_the_same_create_at_once_runs_once(
    client: openai.OpenAI, host: TalkHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one claimed before the first one was there, and comes when that has ended."""
    headers = {"Idempotency-Key": "at-once"}
    made = client.responses.create(model=CHAT, input="Hi", background=True, extra_headers=headers)
    until(client, made.id, "completed")
    claim = Claim("", made.id, time.time())
    monkeypatch.setattr(Responses, "claim", lambda *_: (claim, None))
    again = client.responses.create(model=CHAT, input="Hi", background=True, extra_headers=headers)
    assert (again.id, again.status) == (made.id, "completed")
    monkeypatch.undo()
    after = client.responses.create(model=CHAT, input="Last", background=True)
    until(client, after.id, "completed")
    assert len(host.chats) == 2


def test_a_prompt_that_nobody_waits_for_is_charged(stack: Stack, host: TalkHost) -> None:
    """Left or cancelled before the model has said what it read."""
    _, key = stack.api.keys.create("leaver", tenant="leaver")
    host.hanging, host.says = True, lambda asked: [chunk({"content": "Hi"}), chunk({}, "stop")]
    with stack.client(key) as client:
        stream = client.responses.create(model=CHAT, input="One two three", stream=True)
        next(iter(stream))
        stream.close()
        assert host.left.wait(60)
        host.left.clear()
        behind = client.responses.create(model=CHAT, input="One two three four", background=True)
        while not host.running:
            time.sleep(0.005)
        client.responses.cancel(behind.id)
    deadline = time.monotonic() + 60
    while (now := stack.api.get("/v1/usage?by=key", key=key).json()["total"]).get("requests", 0) < 2:
        assert time.monotonic() < deadline, now
        time.sleep(0.05)
    assert now["prompt_tokens"] == 3 + 4


def test_what_it_used_is_charged_to_its_key(stack: Stack, host: TalkHost) -> None:
    _, key = stack.api.keys.create("payer", tenant="payer", limits=Limits(concurrent=3))

    def used() -> Any:
        return stack.api.get("/v1/usage?by=key", key=key).json()["total"]

    with stack.client(key) as client:
        made = client.responses.create(model=CHAT, input="Hi", background=True)
        until(client, made.id, "completed")
        client.responses.create(model=CHAT, input="Hi")
        list(client.responses.create(model=CHAT, input="Hi", stream=True))
        host.hanging = True
        held = [client.responses.create(model=CHAT, input="Hi", background=True) for _ in range(3)]
        with pytest.raises(openai.RateLimitError):
            client.responses.create(model=CHAT, input="Hi")
        for one in held:
            client.responses.cancel(one.id)
    deadline = time.monotonic() + 60
    while (now := used()).get("requests", 0) < 7:
        assert time.monotonic() < deadline, now
        time.sleep(0.05)
    assert now["requests"] == 7, "three that were answered, three that were cancelled, one that was refused"
    assert now["prompt_tokens"] >= 3 * 7


def test_one_tenant_leaves_room_for_another(
    stack: Stack, host: TalkHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "SHARE", 2)
    host.hanging = True
    with serving(build_app(stack.services, keys=stack.api.keys)) as port:

        def asking(key: str) -> openai.OpenAI:
            return openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, max_retries=0)

        with asking(MASTER) as mine, asking(stack.other) as theirs:
            made = [mine.responses.create(model=CHAT, input="Hi", background=True) for _ in range(2)]
            with pytest.raises(openai.RateLimitError, match="of yours"):
                mine.responses.create(model=CHAT, input="Hi", background=True)
            other = theirs.responses.create(model=CHAT, input="Hi", background=True)
            mine.responses.cancel(made[0].id)
            made.append(mine.responses.create(model=CHAT, input="Hi", background=True))
            host.hanging = False
            until(mine, made[2].id, "completed")
            until(theirs, other.id, "completed")


def test_as_many_at_once_as_there_are_places(
    stack: Stack, host: TalkHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "SHARE", 2)
    host.hanging = True
    with serving(build_app(stack.services, keys=stack.api.keys)) as port:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=MASTER, max_retries=0)

        def create(number: int) -> str | None:
            headers = {"Idempotency-Key": f"place-{number}"}
            try:
                return client.responses.create(
                    model=CHAT, input="Hi", background=True, extra_headers=headers
                ).id
            except openai.RateLimitError:
                return None

        with client, ThreadPoolExecutor(16) as pool:
            made = list(pool.map(create, range(16)))
            taken = {number: id for number, id in enumerate(made) if id is not None}
            assert len(taken) == 2
            assert {number: create(number) for number in taken} == taken, "what there is takes no place"
            host.hanging = False
            for id in taken.values():
                until(client, id, "completed")
            refused = next(number for number in range(16) if number not in taken)
            assert create(refused) is not None


def test_one_that_is_deleted_as_it_ends_leaves_nothing(tmp_path: Path) -> None:
    services = stores(tmp_path, HandQueue())
    overflow, once = Overflow(services.objects), Once(services.records)
    turns = Turns(services.records, overflow)
    conversations = Conversations(services.records, turns, once)
    responses = Responses(services.records, overflow, conversations, turns, once)
    talk = conversations.create("me", ConversationRequest(), None)
    request = ResponseRequest(CHAT, "Hi", conversation=talk.id, background=True)
    claim, _ = responses.claim("me", None, "")
    made = opened(claim.id, request, "queued")
    responses.queue("me", claim, None, made, [], True)
    long: list[Any] = [MessageItem("msg_1", "assistant", [OutputText("word " * 40_000)])]
    done = msgspec.structs.replace(made, status="completed", output=long)
    change = responses._shelf.change

    def deleted_first(tenant: str, id: str, to: Any) -> Any:
        responses._shelf.change = change  # type: ignore[method-assign]
        responses.delete(tenant, id)
        return change(tenant, id, to)

    responses._shelf.change = deleted_first  # type: ignore[method-assign]
    with pytest.raises(NotFound):
        responses.finish("me", done, [], b"events")
    assert services.objects.list("responses/") == []
    assert services.records.query(f"conversation-turns/me/{talk.id}") == []


def test_it_has_failed_where_its_process_is_gone(tmp_path: Path) -> None:
    host = TalkHost()
    host.hanging = True
    services = msgspec.structs.replace(stores(tmp_path, HandQueue()), models=host)
    keys = ApiKeys(services.records, MASTER)

    def asking(port: int) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=MASTER, max_retries=0)

    with serving(build_app(services, keys=keys)) as port, asking(port) as client:
        streamed = client.responses.create(model=CHAT, input="Hi", background=True, stream=True)
        first: Any = next(iter(streamed))
        stopped = client.responses.create(model=CHAT, input="Hi", background=True)
    with serving(build_app(services, keys=keys)) as port, asking(port) as client:
        for id in (first.response.id, stopped.id):
            gone = client.responses.retrieve(id)
            assert gone.status == "failed"
            assert gone.error is not None
            assert "stopped" in gone.error.message
        last: Any = list(client.responses.retrieve(first.response.id, stream=True, starting_after=2))
        assert [(event.type, event.sequence_number) for event in last] == [("response.failed", 3)]
        # As kill -9 leaves it: nobody has said anything, and the promise has run out.
        place = "responses/master"
        record = services.records.get(place, stopped.id)
        assert record is not None
        killed = {**record.item, "status": "in_progress", "fault": None, "ended_at": None}
        services.records.put(place, stopped.id, {**killed, "alive": time.time() + LEASE_SECONDS})
        assert client.responses.retrieve(stopped.id).status == "in_progress"
        services.records.put(place, stopped.id, {**killed, "alive": time.time() - 1})
        dead = client.responses.retrieve(stopped.id)
        assert dead.status == "failed"
        assert dead.error is not None
        assert "ended before" in dead.error.message


def test_a_frozen_process_refuses_it(tmp_path: Path) -> None:
    services = msgspec.structs.replace(stores(tmp_path, HandQueue()), models=TalkHost())
    keys = ApiKeys(services.records, MASTER)
    with serving(build_app(services, keys=keys, config=StackConfig(), freezes=True)) as port:
        fakes: Any = (services.models, services.registry, services.records)
        api = Api(port, *fakes, keys)
        body = {"model": CHAT, "input": "Hi", "background": True}
        assert_problem(api.post("/v1/responses", body), 400, param="background")
        assert api.post("/v1/responses", {**body, "background": False}).status == 200
