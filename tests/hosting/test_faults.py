"""Clients that leave, engines that die, queues that fill, adapters that come and go."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.hosting.models import write_adapter
from tests.hosting.served import COMPLETIONS, TIMEOUT, Server, content, said, serving, start

LONG: dict[str, Any] = {"messages": said("go on"), "max_tokens": 400, "ignore_eos": True}


@pytest.fixture(scope="module")
def narrow(tiny: Any, tiny_dir: Path, engine_home: Path) -> Any:
    """A server that runs one sequence at a time and lets one wait; its engine may be killed."""
    with serving(
        tiny_dir, engine_home, "--precision", "f32", "--max-running", "1", "--max-waiting", "1"
    ) as server:
        yield server


def test_a_client_that_leaves_ends_its_generation(exact: Server) -> None:
    before = exact.metric("generated_tokens_total")
    with exact.open_stream(**LONG, n=8) as events:
        next(events)
    exact.wait_for("running", 0)
    time.sleep(0.1)
    after = exact.metric("generated_tokens_total")
    assert after - before < 8 * 400
    time.sleep(0.3)
    assert exact.metric("generated_tokens_total") == after


def test_a_client_that_leaves_before_the_whole_answer_ends_it_too(exact: Server) -> None:
    connection = exact.connect()
    connection.request("POST", "/invocations", json.dumps({"model": "base", **LONG, "n": 8}))
    exact.wait_for("running", 8)
    connection.close()
    exact.wait_for("running", 0)


def test_a_full_queue_refuses_at_once(narrow: Server) -> None:
    with narrow.open_stream(**LONG) as running, narrow.open_stream(**LONG) as waiting:
        next(running)
        begun = time.monotonic()
        status, error = narrow.refusal(messages=said("x"))
        assert time.monotonic() - begun < 1
        assert (status, error["code"], narrow.headers["retry-after"]) == (429, "rate_limit_exceeded", "1")
        assert narrow.metric("waiting") == 1
        assert list(running)[-1] == "[DONE]"
        assert list(waiting)[-1] == "[DONE]"
    assert narrow.ask(messages=said("x"), max_tokens=1)


def test_an_engine_that_dies_ends_its_streams_with_an_error(narrow: Server) -> None:
    with narrow.open_stream(**LONG) as events:
        next(events)
        os.kill(narrow.workers()[0], signal.SIGKILL)
        rest = list(events)
    last = json.loads(rest[-1])
    assert last["error"]["code"] == "engine_failed"
    assert set(last["error"]) == {"message", "type", "param", "code"}
    assert "[DONE]" not in rest
    assert narrow.send("GET", "/ping")[0] in (200, 503)
    assert narrow.ask(messages=said("again"), max_tokens=2)
    assert narrow.send("GET", "/ping")[0] == 200
    assert narrow.metric("engine_restarts_total") == 1


def test_an_answer_under_way_when_the_engine_dies_is_a_500(narrow: Server) -> None:
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(narrow.refusal, **LONG)
        narrow.wait_for("running", 1)
        os.kill(narrow.workers()[0], signal.SIGKILL)
        status, error = asked.result()
    assert (status, error["code"]) == (500, "engine_failed")
    narrow.wait_until_ready()


def test_32_streams_at_once_lose_nothing(exact: Server) -> None:
    def one(index: int) -> tuple[str, Any]:
        chunks = exact.stream(
            messages=said(f"number {index}"),
            seed=index,
            max_tokens=60,
            ignore_eos=True,
            stream_options={"include_usage": True},
        )
        text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks[:-1])
        return text, chunks[-1]["usage"]["completion_tokens"]

    with ThreadPoolExecutor(32) as threads:
        found = list(threads.map(one, range(32)))
    assert [tokens for _, tokens in found] == [60] * 32
    for index in (0, 13, 31):
        alone = exact.ask(messages=said(f"number {index}"), seed=index, max_tokens=60, ignore_eos=True)
        assert content(alone)[:20] == found[index][0][:20]


def peft_greedy(model: Any, prompt: list[int], count: int) -> list[int]:
    import torch

    ids = list(prompt)
    for _ in range(count):
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


def test_adapters_come_and_go_while_the_base_answers(
    exact: Server, tiny: Any, adapter_dirs: list[Path], tmp_path: Path
) -> None:
    stop = threading.Event()
    failures: list[Any] = []

    def keep_asking() -> None:
        while not stop.is_set():
            try:
                assert exact.stream(messages=said("x"), max_tokens=30, ignore_eos=True)
            except BaseException as error:
                failures.append(error)

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        for index, directory in enumerate(adapter_dirs):
            body = {"name": f"ft:{index}", "src": str(directory)}
            assert exact.send("POST", "/adapters", body)[0] == 200
            assert exact.send("POST", "/adapters", body)[0] == 200
        model = write_adapter(copy.deepcopy(tiny), tmp_path, seed=1)
        prompt = [10, 20, 30, 40]
        answers = [
            exact.ask(
                COMPLETIONS, model=name, prompt=prompt, max_tokens=6, temperature=0, ignore_eos=True, logprobs=0
            )
            for name in ("ft:1", "ft:0", "base", "ft:1")
        ]
        texts = [a["choices"][0]["text"] for a in answers]
        expected = exact.ask("/v1/detokenize", tokens=peft_greedy(model, prompt, 6))["prompt"]
        assert texts[0] == texts[3] == expected
        assert len(set(texts)) == 3
        listed = exact.send("GET", "/adapters")[1]["adapters"]
        assert [(a["name"], a["loaded"]) for a in listed] == [("ft:0", False), ("ft:1", True)]
        assert exact.send("POST", "/adapters", {"name": "ft:0", "src": "/elsewhere"})[0] == 409
        assert exact.send("POST", "/adapters", {"name": "base", "src": str(tmp_path)})[0] == 409
        for index in range(2):
            assert exact.send("DELETE", f"/adapters/ft:{index}")[0] == 200
        assert exact.refusal(model="ft:1", messages=said("x"))[1]["code"] == "model_not_found"
        assert exact.send("DELETE", "/adapters/ft:1")[0] == 404
    finally:
        stop.set()
        asking.join()
    assert not failures
    end = time.monotonic() + TIMEOUT
    while len(exact.workers()) > 1:
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    "body",
    [{}, {"name": "a"}, {"name": "a", "src": "/no/such/place"}, {"name": "", "src": "x"}, {"src": 3}],
    ids=str,
)
def test_an_adapter_that_cant_be_served_is_refused(exact: Server, body: dict[str, Any]) -> None:
    status, answer = exact.send("POST", "/adapters", body)
    assert status == 400
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert exact.send("GET", "/adapters")[1] == {"adapters": []}


def test_the_server_ends_when_its_parent_does(tiny: Any, tiny_dir: Path, engine_home: Path) -> None:
    server = start(tiny_dir, engine_home, "--precision", "f32")
    server.wait_until_ready()
    workers = server.workers()
    server.process.kill()
    server.process.wait()
    for stream in (server.process.stdin, server.process.stdout):
        assert stream is not None
        stream.close()
    end = time.monotonic() + TIMEOUT
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < end, "an engine outlived its server"
        time.sleep(0.05)


def test_a_server_loads_before_it_is_ready_and_ends_with_stdin(
    tiny: Any, tiny_dir: Path, engine_home: Path
) -> None:
    server = start(tiny_dir, engine_home, "--precision", "f32")
    assert server.process.stdin is not None
    assert server.process.stdout is not None
    status, answer = server.send("GET", "/ping")
    assert (status, answer["error"]["code"]) == (503, "model_loading")
    assert server.ask(messages=said("early"), max_tokens=1)
    server.process.stdin.close()
    assert server.process.wait(timeout=TIMEOUT) == 0
    server.process.stdout.close()


@pytest.mark.parametrize("broken", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_broken_model_says_so_and_exits_with_2(
    tiny: Any, tiny_dir: Path, engine_home: Path, tmp_path: Path, broken: str
) -> None:
    for file in tiny_dir.iterdir():
        (tmp_path / file.name).write_bytes(
            file.read_bytes()[:500] if file.name == broken else file.read_bytes()
        )
    command = [
        sys.executable,
        "-m",
        "genai_stack.hosting",
        str(tmp_path),
        "--name",
        "x",
        "--port",
        "0",
        "--announce",
    ]
    with subprocess.Popen(
        [*command, "--home", str(engine_home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        lines = [json.loads(line) for line in process.stdout]
        assert process.wait(timeout=TIMEOUT) == 2
    assert broken in lines[-1]["error"]["message"]


def test_a_pickled_model_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")
    command = [sys.executable, "-m", "genai_stack.hosting", str(tmp_path), "--name", "x"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 2
    assert "pickle" in done.stderr


def test_int8_serves_from_the_cache_the_second_time(tiny: Any, tiny_dir: Path, engine_home: Path) -> None:
    texts = []
    for _ in range(2):
        with serving(tiny_dir, engine_home) as server:
            answer = server.ask(COMPLETIONS, prompt="The quick", max_tokens=8, temperature=0, logprobs=1)
            texts.append(answer["choices"][0]["text"])
            assert max(answer["choices"][0]["logprobs"]["token_logprobs"]) <= 0
    assert texts[0] == texts[1]
