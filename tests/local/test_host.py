"""The local model host and its server processes: shared, restarted, joined, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from genai_stack.errors import EngineFailed, NotDeployedError
from genai_stack.local.home import Home
from genai_stack.local.host import LoopbackHost
from genai_stack.local.records import SqliteRecords
from genai_stack.ports import ModelVersion
from genai_stack.registry import RecordedModels

CHAT = "/v1/chat/completions"
TUNED = "ft:builtin:a/b:1"
MODELS = [
    ModelVersion("builtin", "builtin"),
    ModelVersion("slow", "slow:1.5"),
    ModelVersion("slow-too", "slow:0.6"),
    ModelVersion("broken", "broken"),
    ModelVersion("mute", "mute"),
    ModelVersion("refused", "refused"),
    ModelVersion(TUNED, "/models/1", base="builtin"),
    ModelVersion("bad", "/bad", base="builtin"),
]
Make = Callable[..., LoopbackHost]
OWNER = """
import asyncio, sys
from pathlib import Path
from genai_stack.local.home import Home
from genai_stack.local.host import LoopbackHost
from genai_stack.local.records import SqliteRecords
from genai_stack.registry import RecordedModels
async def main():
    home = Home(Path(sys.argv[1]))
    host = LoopbackHost(home, RecordedModels(SqliteRecords(home.records)), program="fake_hosting")
    await host.deploy("builtin")
    print("up", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Hosts of one home, each as another process would see it."""
    made: list[LoopbackHost] = []

    def host(patience: float = 10.0) -> LoopbackHost:
        home = Home(tmp_path)
        registry = RecordedModels(SqliteRecords(home.records), MODELS)
        made.append(LoopbackHost(home, registry, program="fake_hosting", patience=patience))
        return made[-1]

    yield host
    for each in made:
        await each.close()


def ask(model: str = "builtin", **more: Any) -> bytes:
    return json.dumps({"model": model, **more}).encode()


def notes(home: Path, what: str) -> list[int]:
    path = home / "notes"
    lines = path.read_text().splitlines() if path.exists() else []
    return [int(line.split()[1]) for line in lines if line.split()[0] == what]


async def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_concurrent_first_requests_start_one(make: Make, tmp_path: Path) -> None:
    host = make()
    replies = await asyncio.gather(*(host.invoke("builtin", CHAT, ask()) for _ in range(20)))
    assert {reply.status for reply in replies} == {200}
    assert len(notes(tmp_path, "start")) == 1


async def test_an_adapter_is_attached_once_for_many(make: Make, tmp_path: Path) -> None:
    host = make()
    replies = await asyncio.gather(*(host.invoke(TUNED, CHAT, ask(TUNED)) for _ in range(20)))
    assert {json.loads(reply.body)["adapter"] for reply in replies} == {"/models/1"}
    assert len(notes(tmp_path, "attach")) == 1


async def test_an_evicted_adapter_is_attached_again(make: Make, tmp_path: Path) -> None:
    host = make()
    await host.invoke(TUNED, CHAT, ask(TUNED, fake="evict"))
    assert (await host.invoke(TUNED, CHAT, ask(TUNED))).status == 200
    await host.invoke(TUNED, CHAT, ask(TUNED, fake="evict"))
    async with host.stream(TUNED, CHAT, ask(TUNED, stream=True)) as answer:
        assert answer.status == 200
        assert b"".join([chunk async for chunk in answer]).endswith(b"data: [DONE]\n\n")
    assert len(notes(tmp_path, "attach")) == 3


async def test_another_adapter_under_an_old_name(make: Make, tmp_path: Path) -> None:
    host, registry = make(), RecordedModels(SqliteRecords(tmp_path / "records.sqlite"), MODELS)
    for source in ("/models/x", "/models/y", "/models/x"):
        registry.register(ModelVersion("again", source, base="builtin"))
        reply = await host.invoke("again", CHAT, ask("again"))
        assert json.loads(reply.body)["adapter"] == source
        registry.delete("again")


async def test_another_404_is_passed_on(make: Make) -> None:
    host = make()
    reply = await host.invoke(TUNED, CHAT, ask(TUNED, fake="missing"))
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (404, "not_found")
    reply = await host.invoke(TUNED, CHAT, ask("someone-else"))
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (404, "model_not_found")


async def test_an_adapter_that_cannot_be_loaded(make: Make) -> None:
    with pytest.raises(EngineFailed, match="fake invalid_model"):
        await make().invoke("bad", CHAT, ask("bad"))


async def test_a_killed_server_is_restarted_with_its_adapters(make: Make, tmp_path: Path) -> None:
    host = make()
    await host.invoke(TUNED, CHAT, ask(TUNED))
    for _ in range(3):
        os.kill(notes(tmp_path, "start")[-1], signal.SIGKILL)
        replies = await asyncio.gather(
            *(host.invoke(TUNED, CHAT, ask(TUNED)) for _ in range(5)), return_exceptions=True
        )
        assert any(not isinstance(r, BaseException) for r in replies) or all(
            isinstance(r, EngineFailed) for r in replies
        )
        assert (await host.invoke(TUNED, CHAT, ask(TUNED))).status == 200
    assert len(notes(tmp_path, "start")) == 4


async def test_a_request_is_never_sent_twice(make: Make, tmp_path: Path) -> None:
    host = make()
    await host.deploy("builtin")
    for fake in ("hang up", "die"):
        before = len(notes(tmp_path, "request"))
        with pytest.raises(EngineFailed):
            await host.invoke("builtin", CHAT, ask(fake=fake))
        assert len(notes(tmp_path, "request")) == before + 1


async def test_a_loading_model_keeps_requests_waiting_up_to_a_limit(make: Make, tmp_path: Path) -> None:
    impatient = make(patience=0.1)
    with pytest.raises(NotDeployedError) as caught:
        await impatient.invoke("slow", CHAT, ask("slow"))
    assert (caught.value.status, caught.value.code) == (503, "model_warming")
    await impatient.deploy("slow-too")
    assert await impatient.live() == ["slow-too"]
    assert caught.value.retry_after
    assert (await make().invoke("slow", CHAT, ask("slow"))).status == 200  # joined while it loads
    assert (await impatient.invoke("slow", CHAT, ask("slow"))).status == 200
    assert len(notes(tmp_path, "start")) == 2


@pytest.mark.parametrize(
    ("name", "why"), [("broken", "another shape"), ("mute", "config.json"), ("refused", "pickled")]
)
async def test_a_model_that_does_not_come_up(make: Make, tmp_path: Path, name: str, why: str) -> None:
    host = make()
    for _ in range(3):
        with pytest.raises(EngineFailed, match=why):
            await host.invoke(name, CHAT, ask(name))
    assert len(notes(tmp_path, "start")) == 1
    assert (await host.invoke("builtin", CHAT, ask())).status == 200


async def test_a_client_that_leaves_before_the_model_is_up(make: Make, tmp_path: Path) -> None:
    host = make()
    first = asyncio.create_task(host.invoke("slow-too", CHAT, ask("slow-too")))
    await asyncio.sleep(0.1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await host.invoke("slow-too", CHAT, ask("slow-too"))).status == 200
    assert len(notes(tmp_path, "start")) == 1


async def test_leaving_a_stream_cancels_it(make: Make, tmp_path: Path) -> None:
    host = make()
    async with host.stream("builtin", CHAT, ask(stream=True, chunks=1000, pause=0.01)) as answer:
        async for _ in answer:
            break
    await eventually(lambda: len(notes(tmp_path, "cancelled")) == 1)

    async def read() -> None:
        async with host.stream("builtin", CHAT, ask(stream=True, chunks=1000, pause=0.01)) as answer:
            async for _ in answer:
                pass

    task = asyncio.create_task(read())
    await eventually(lambda: len(notes(tmp_path, "request")) == 2)
    task.cancel()
    await eventually(lambda: len(notes(tmp_path, "cancelled")) == 2)
    waiting = asyncio.create_task(host.invoke("builtin", CHAT, ask(stream=True, chunks=1000, pause=0.01)))
    await eventually(lambda: len(notes(tmp_path, "request")) == 3)
    waiting.cancel()
    await eventually(lambda: len(notes(tmp_path, "cancelled")) == 3)


async def test_connections_are_kept(make: Make) -> None:
    host = make()
    for _ in range(3):
        async with host.stream("builtin", CHAT, ask(stream=True)) as answer:
            assert [chunk async for chunk in answer]
        await host.invoke("builtin", CHAT, ask())
    connector = host._client().connector
    assert connector is not None
    assert sum(len(held) for held in connector._conns.values()) == 1


async def test_a_second_host_joins_and_takes_over(make: Make, tmp_path: Path) -> None:
    owner, guest = make(), make()
    await owner.deploy("builtin")
    assert await guest.live() == ["builtin"]
    assert (await guest.invoke(TUNED, CHAT, ask(TUNED))).status == 200
    await guest.undeploy("builtin")  # not the guest's to end
    assert await owner.live() == ["builtin", TUNED]
    assert len(notes(tmp_path, "start")) == 1
    await guest.invoke("builtin", CHAT, ask())
    os.kill(notes(tmp_path, "start")[0], signal.SIGKILL)
    await eventually(lambda: dead(notes(tmp_path, "start")[0]))
    await asyncio.sleep(0.1)  # its last thread, and with it its sockets
    assert (await guest.invoke(TUNED, CHAT, ask(TUNED))).status == 200
    assert (await owner.invoke(TUNED, CHAT, ask(TUNED))).status == 200
    assert len(notes(tmp_path, "start")) == 2


async def test_the_owner_ends_and_the_guest_goes_on(make: Make, tmp_path: Path) -> None:
    owner, guest = make(), make()
    await owner.deploy("builtin")
    await guest.invoke("builtin", CHAT, ask())
    await owner.close()
    assert (await guest.invoke("builtin", CHAT, ask())).status == 200
    assert len(notes(tmp_path, "start")) == 2
    assert notes(tmp_path, "end") == notes(tmp_path, "start")[:1]


async def test_a_killed_owner_leaves_no_server(make: Make, tmp_path: Path) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(tmp_path), stdout=subprocess.PIPE
    )
    assert owner.stdout
    await owner.stdout.readline()
    server = notes(tmp_path, "start")[0]
    owner.kill()
    await owner.wait()
    await eventually(lambda: dead(server))
    assert (await make().invoke("builtin", CHAT, ask())).status == 200
    assert len(notes(tmp_path, "start")) == 2


async def test_close_while_a_model_loads(make: Make, tmp_path: Path) -> None:
    host = make()
    request = asyncio.create_task(host.invoke("slow-too", CHAT, ask("slow-too")))
    await eventually(lambda: bool(notes(tmp_path, "start")))
    await host.close()
    with pytest.raises(EngineFailed, match="stopped"):
        await request
    await eventually(lambda: dead(notes(tmp_path, "start")[0]))


async def test_under_fire(make: Make, tmp_path: Path) -> None:
    """Servers are killed under load: an answer is whole or an EngineFailed, and the host always comes back."""
    host = make()
    await host.deploy("builtin")
    end, whole, failed = time.monotonic() + 2.5, 0, 0
    expected = b"".join(b'data: {"n": %d}\n\n' % n for n in range(20)) + b"data: [DONE]\n\n"

    async def client(model: str) -> None:
        nonlocal whole, failed
        while time.monotonic() < end:
            try:
                async with host.stream(model, CHAT, ask(model, stream=True, chunks=20, pause=0.002)) as answer:
                    body = b"".join([chunk async for chunk in answer])
            except EngineFailed:
                failed += 1
                await asyncio.sleep(0.05)
            else:
                assert (answer.status, body) == (200, expected)
                whole += 1

    async def killer() -> None:
        while time.monotonic() < end - 0.8:
            await asyncio.sleep(0.4)
            with contextlib.suppress(ProcessLookupError):
                os.kill(notes(tmp_path, "start")[-1], signal.SIGKILL)

    await asyncio.gather(killer(), *(client(model) for model in ("builtin", TUNED) * 8))
    assert whole
    assert failed
    assert (await host.invoke(TUNED, CHAT, ask(TUNED))).status == 200
    assert len([pid for pid in notes(tmp_path, "start") if not dead(pid)]) == 1


async def consumed(host: LoopbackHost, model: str, begun: list[str], **more: Any) -> bytes:
    """A whole stream; `begun` is told as soon as its first bytes are there."""
    body = ask(model, stream=True, **{"chunks": 6, "pause": 0.15, **more})
    async with host.stream(model, CHAT, body) as answer:
        assert answer.status == 200
        parts = []
        async for chunk in answer:
            if not parts:
                begun.append(model)
            parts.append(chunk)
        return b"".join(parts)


def registry_of(home: Path) -> RecordedModels:
    return RecordedModels(SqliteRecords(home / "records.sqlite"), MODELS)


async def test_promotion_rollback_and_delete_lose_none_of_32_streams(make: Make, tmp_path: Path) -> None:
    host, registry, begun = make(), registry_of(tmp_path), list[str]()
    registry.register(ModelVersion("builtin", "second"))
    registry.register(ModelVersion("mine", "mine"))
    registry.register(ModelVersion("tuned", "/models/a", base="builtin", parent="builtin@0"))
    registry.register(ModelVersion("tuned", "/models/b", base="builtin", parent="builtin@0"))
    names = ["builtin"] * 20 + ["tuned"] * 8 + ["mine"] * 4
    await asyncio.gather(*(host.deploy(name) for name in ("tuned", "mine")))
    first = [asyncio.create_task(consumed(host, name, begun)) for name in names]
    await eventually(lambda: len(begun) == 32)
    await host.deploy("builtin@1")
    registry.promote("builtin", 1)
    registry.promote("tuned", 2)
    second = [asyncio.create_task(consumed(host, name, begun)) for name in names[:28]]
    await eventually(lambda: len(begun) == 60)
    registry.rollback("builtin")
    registry.rollback("tuned")
    registry.delete("mine")
    await host.undeploy("mine")
    third = [asyncio.create_task(consumed(host, name, begun)) for name in names[:28]]
    whole = b"".join(b'data: {"n": %d}\n\n' % n for n in range(6)) + b"data: [DONE]\n\n"
    assert set(await asyncio.gather(*first, *second, *third)) == {whole}
    assert json.loads((await host.invoke("tuned", CHAT, ask("tuned"))).body)["adapter"] == "/models/a"
    await eventually(lambda: len(notes(tmp_path, "end")) == 2)  # of builtin@1, and of mine
    assert len(notes(tmp_path, "start")) == 3


async def test_requests_stay_with_the_old_version_until_the_new_one_is_up(make: Make, tmp_path: Path) -> None:
    host, registry = make(), registry_of(tmp_path)
    registry.register(ModelVersion("builtin", "slow:0.8"))
    await host.deploy("builtin")
    registry.promote("builtin", 1)
    begun = time.monotonic()
    assert (await host.invoke("builtin", CHAT, ask())).status == 200
    assert notes(tmp_path, "end") == []
    await eventually(lambda: len(notes(tmp_path, "start")) == 2)
    while not notes(tmp_path, "end"):
        assert (await host.invoke("builtin", CHAT, ask())).status == 200
        assert time.monotonic() < begun + 30
        await asyncio.sleep(0.02)
    assert await host.live() == ["builtin"]


async def test_a_version_that_does_not_come_up_leaves_the_old_one(make: Make, tmp_path: Path) -> None:
    host, registry = make(), registry_of(tmp_path)
    registry.register(ModelVersion("builtin", "mute"))
    await host.deploy("builtin")
    with pytest.raises(EngineFailed, match=r"no such file: config\.json"):
        await host.deploy("builtin@1")
    registry.promote("builtin", 1)
    for _ in range(3):
        assert (await host.invoke("builtin", CHAT, ask())).status == 200
        await asyncio.sleep(0.05)
    assert registry.rollback("builtin").version == 0


async def test_beside_a_running_stack_a_version_only_shows_that_it_comes_up(make: Make, tmp_path: Path) -> None:
    host, registry = make(), registry_of(tmp_path)
    registry.register(ModelVersion("builtin", "second"))
    holder = "import sys; from pathlib import Path; from genai_stack.local.home import Home\n"
    holder += "with Home(Path(sys.argv[1])).lock() as held: print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", holder, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:  # noqa: ASYNC220
        assert other.stdout is not None
        other.stdout.readline()
        await host.deploy("builtin@1")
        assert len(notes(tmp_path, "start")) == len(notes(tmp_path, "end")) == 1
        other.communicate()
    await host.deploy("builtin@1")
    assert len(notes(tmp_path, "end")) == 1
