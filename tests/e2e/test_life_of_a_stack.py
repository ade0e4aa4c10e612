"""A stack's life: what survives it, what it refuses, and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from genai_stack import AsyncGenAIStack, GenAIStack, builtin
from tests.live import COMMAND, Live, environment, live_stack, processes_of, start, stop


def command(
    home: Path, *arguments: str, stdin: str | None = None, base_url: str | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(home, **({"GENAI_STACK_BASE_URL": base_url} if base_url else {})),
        input=stdin,
        stdin=None if stdin is not None else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=home.parent,
        check=False,
    )


def test_a_second_one_is_refused(live: Live, tmp_path: Path) -> None:
    port = live.base_url.rpartition(":")[2].removesuffix("/v1")
    result = command(live.home, "up", "--port", "0")
    assert result.returncode == 2
    assert result.stderr.startswith(f"genai-stack: {live.home} is in use by process {live.process.pid}")
    result = command(tmp_path / "other", "up", "--port", port)
    assert (result.returncode, f"port {port}" in result.stderr) == (2, True)


def test_it_says_how_to_use_it(live: Live) -> None:
    said = (live.home.parent / f"{live.home.name}.out").read_text()
    assert f"base URL: {live.base_url}\n" in said
    assert f"key:      {live.key}\n" in said
    example = said[said.index("curl ") : said.index("\n\nfrom openai")]
    result = subprocess.run(["bash", "-c", f"{example} -s"], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout)["choices"][0]["message"]["content"]
    program = said[said.index("from openai") : said.index("\n\nCtrl-C")]
    result = subprocess.run([COMMAND[0], "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip()


def test_chat_asks_the_running_stack(live: Live) -> None:
    asked = command(live.home, "chat", "Say", "hello.")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.strip()
    assert command(live.home, "chat", stdin="Say hello.\n").stdout == asked.stdout
    missing = command(live.home, "chat", "--model", "nope", "hi")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.startswith("genai-stack: The model 'nope' does not exist")


def test_a_key_opens_until_it_is_revoked(live: Live) -> None:
    from openai import AuthenticationError, OpenAI

    made = json.loads(command(live.home, "keys", "create", "guest", "--json").stdout)
    with OpenAI(base_url=live.base_url, api_key=made["key"], max_retries=0) as guest:
        assert guest.models.list().data
        assert command(live.home, "keys", "revoke", made["id"]).returncode == 0
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            try:
                guest.models.list()
            except AuthenticationError:
                return
            time.sleep(0.5)
    raise AssertionError("a revoked key still opens")


@pytest.mark.slow
def test_state_survives_a_restart_and_a_kill(tmp_path: Path) -> None:
    home = tmp_path / "stack"
    first = start(home)
    made = json.loads(command(home, "keys", "create", "kept", "--json").stdout)
    assert stop(first) == 0
    assert not processes_of(home)
    second = start(home)
    assert second.key == first.key
    os.kill(second.process.pid, signal.SIGKILL)
    second.process.wait()
    deadline = time.monotonic() + 60
    while processes_of(home) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_of(home), "the model server outlived its stack"
    with live_stack(home) as third:
        assert third.key == first.key
        names = [key["name"] for key in json.loads(command(home, "keys", "list", "--json").stdout)]
        assert names == ["kept"]
        with third.openai() as client:
            client.api_key = made["key"]
            assert client.models.list().data


@pytest.mark.slow
def test_the_key_in_the_environment_is_the_key(tmp_path: Path) -> None:
    with live_stack(tmp_path / "stack", key="sk-chosen") as stack, stack.openai() as client:
        assert stack.key == "sk-chosen"
        assert client.models.list().data


@pytest.mark.slow
def test_a_client_starts_joins_and_ends_a_stack(home: Path) -> None:
    with GenAIStack.local(home) as stack:
        with GenAIStack.local(home) as other:
            assert other.endpoint == stack.endpoint
            asked = {
                "messages": [{"role": "user", "content": "Say hello."}],
                "temperature": 0,
                "max_tokens": 32,
            }
            whole = other.hosting.invoke("builtin", asked)["choices"][0]["message"]["content"]
            chunks = [c for c in other.hosting.stream("builtin", asked) if c["choices"]]
            assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks) == whole
            assert [model.name for model in other.hosting.list() if model.live] == ["builtin"]
        again = stack.service.openai.chat.completions.create(model="builtin", **asked)
        assert again.choices[0].message.content == whole
    time.sleep(0.2)
    assert not [line for line in processes_of(home) if "genai_stack" in line]


@pytest.mark.slow
async def test_the_asynchronous_client_does_too(home: Path) -> None:
    async with await AsyncGenAIStack.local(home) as stack:
        models = [model.id async for model in stack.service.openai.models.list()]
        assert models == [model.name for model in await stack.hosting.list()]


@pytest.mark.slow
def test_a_program_that_is_killed_takes_its_stack_along(home: Path) -> None:
    program = f"""
from genai_stack import GenAIStack
stack = GenAIStack.local({str(home)!r})
print("up", flush=True)
input()
"""
    child = subprocess.Popen(
        [COMMAND[0], "-c", program],
        env=environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout
    assert child.stdin
    assert child.stdout.readline() == "up\n"
    assert len(processes_of(home)) >= 3
    child.kill()
    child.wait()
    deadline = time.monotonic() + 60
    while processes_of(home) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_of(home)
    child.stdin.close()
    child.stdout.close()


@pytest.mark.slow
def test_a_model_directory_becomes_the_default(tmp_path: Path) -> None:
    with live_stack(tmp_path / "stack", "--model", str(builtin.model_dir())) as stack:
        with stack.openai() as client:
            assert next(iter(client.models.list())).id == "model"
        answer = command(stack.home, "chat", "--max-tokens", "8", "Say hello.", base_url=stack.base_url)
        assert answer.returncode == 0, answer.stderr
        stack.process.send_signal(signal.SIGTERM)
        assert stack.process.wait(60) == 0


def pinged(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=60) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@pytest.mark.slow
def test_one_model_is_served_by_itself(tmp_path: Path) -> None:
    home = tmp_path / "home"
    process = subprocess.Popen(
        [*COMMAND, "serve", "builtin", "--port", "0"],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stdout
    with process.stdout as out:
        url = re.search(r"http://\S+(?=/invocations)", out.readline())
        assert url
        deadline = time.monotonic() + 60
        while (status := pinged(f"{url[0]}/ping")) != 200:
            assert status == 503
            assert time.monotonic() < deadline
            time.sleep(0.05)
        asked = urllib.request.Request(
            f"{url[0]}/invocations",
            json.dumps(
                {"model": "builtin", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
            ).encode(),
            {"X-Amzn-SageMaker-Custom-Attributes": "route=/v1/chat/completions"},
        )
        with urllib.request.urlopen(asked, timeout=60) as reply:
            assert json.load(reply)["choices"][0]["message"]["content"]
        process.terminate()
        assert process.wait(60) == 0
    assert not processes_of(home)
