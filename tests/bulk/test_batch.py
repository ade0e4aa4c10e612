"""The batch program over a real tiny model: answers, failures, kills, and going on."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genai_stack import wiring
from genai_stack.bulk.batch import run as run_batch
from genai_stack.bulk.program import main
from genai_stack.bulk.specs import BatchSpec
from genai_stack.errors import InvalidSpec
from genai_stack.local.objects import DirectoryObjects
from genai_stack.spec_file import convert
from tests.bulk.conftest import chat_line, lines_of, run, start
from tests.hosting.models import write_adapter, write_model

Spec = Callable[..., Path]
pytestmark = pytest.mark.timeout(400)
LINES = 300


def batch(spec: Path) -> int:
    """The program, in this process."""
    return main("genai_stack.bulk.batch", BatchSpec, run_batch, [str(spec)])


def outputs(output: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return lines_of(output / "output.jsonl"), lines_of(output / "errors.jsonl")


def test_a_batch_is_answered_in_order(batch_spec: Spec, tmp_path: Path, home: Path) -> None:
    lines = [chat_line(n) for n in range(12)]
    lines[4] = chat_line(4, max_tokens=100_000)
    spec = batch_spec(lines)
    assert run("batch", spec, home) == (0, "")
    good, bad = outputs(tmp_path / "out")
    assert [entry["custom_id"] for entry in good] == [f"r-{n}" for n in range(12) if n != 4]
    for entry in good:
        assert set(entry) == {"id", "custom_id", "response", "error"}
        assert (entry["response"]["status_code"], entry["error"]) == (200, None)
        assert entry["response"]["body"]["object"] == "chat.completion"
    (refused,) = bad
    assert (refused["custom_id"], refused["response"]["status_code"]) == ("r-4", 400)
    assert refused["response"]["body"]["error"]["code"] == "context_length_exceeded"
    last = lines_of(tmp_path / "out" / "metrics.jsonl")[-1]
    assert (last["total"], last["completed"], last["failed"]) == (12, 11, 1)
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"output.jsonl", "errors.jsonl", "events.jsonl", "metrics.jsonl", "manifest.json"}
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    assert batch(spec) == 0
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before
    assert len(lines_of(tmp_path / "out" / "output.jsonl")) == 11


def test_completions_embeddings_and_adapters(batch_spec: Spec, tmp_path: Path) -> None:
    completion = {"custom_id": "c", "method": "POST", "url": "/v1/completions"}
    completion["body"] = {"model": "tuned", "prompt": ["one", "two"], "max_tokens": 2}
    base = tmp_path / "base"
    write_adapter(write_model(base), tmp_path / "adapter")
    model = {"name": "tuned", "source": str(base), "adapter": str(tmp_path / "adapter")}
    assert batch(batch_spec([completion], endpoint="/v1/completions", model=model)) == 0
    (entry,) = outputs(tmp_path / "out")[0]
    assert entry["response"]["body"]["model"] == "tuned"
    assert len(entry["response"]["body"]["choices"]) == 2
    embed = {"custom_id": "e", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "x"}}
    spec = batch_spec(
        [embed], endpoint="/v1/embeddings", model={"name": "m", "source": "minilm"}, output=str(tmp_path / "e")
    )
    assert batch(spec) == 0
    assert len(outputs(tmp_path / "e")[0][0]["response"]["body"]["data"][0]["embedding"]) == 384


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"max_inflight": 3}, "max_inflight: no such key; did you mean 'max_in_flight'?"),
        ({"model": {"name": "tiny", "sorce": "x"}}, "model.sorce: no such key; did you mean 'source'?"),
        ({"endpoint": "/v1/files"}, "endpoint: Invalid enum value '/v1/files'"),
        ({"max_in_flight": 0}, "max_in_flight: Expected `int` >= 1"),
        ({"input": "nowhere.jsonl"}, "nowhere.jsonl: No such file"),
        ({"model": {"name": "tiny", "source": "/nowhere"}}, "no model at /nowhere"),
        ({"model": {"name": "other", "source": "builtin"}}, "line 1: body.model 'tiny' isn't 'other'"),
        ({"output": "/proc/nowhere"}, "output: "),
    ],
)
def test_what_can_t_run_is_refused_with_2(
    batch_spec: Spec, changes: dict[str, Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert batch(batch_spec([chat_line(0)], **changes)) == 2
    assert says in capsys.readouterr().err


def test_a_spec_is_json_or_toml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("a.json", "{"), ("a.toml", "= 1"), ("b.json", "\xff"), ("c.json", "[" * 100_000)):
        (tmp_path / name).write_text(text, encoding="latin-1")
        assert batch(tmp_path / name) == 2
        assert f"{name}: isn't valid" in capsys.readouterr().err
    (tmp_path / "big.json").write_bytes(b" " * (1 << 21))
    assert batch(tmp_path / "big.json") == 2
    with pytest.raises(InvalidSpec, match="spec: Expected `object`"):
        convert([], BatchSpec)


def test_a_broken_model_is_refused_unopened(
    batch_spec: Spec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    (broken / "model.safetensors").write_bytes(b"\x08")
    assert batch(batch_spec([chat_line(0)], model={"name": "tiny", "source": str(broken)})) == 2
    assert "isn't a valid safetensors file" in capsys.readouterr().err


def test_another_batch_s_output_is_left_alone(batch_spec: Spec, capsys: pytest.CaptureFixture[str]) -> None:
    assert batch(batch_spec([chat_line(0)])) == 0
    assert batch(batch_spec([chat_line(1)])) == 2
    assert "complete run of something else" in capsys.readouterr().err


def test_a_bucket_receives_the_run(
    batch_spec: Spec, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DirectoryObjects(tmp_path / "store")
    monkeypatch.setattr(wiring, "object_store", lambda uri: (store, uri.removeprefix("s3://bucket/")))
    spec = batch_spec([chat_line(n) for n in range(3)], output="s3://bucket/jobs/b/output")
    store.put("data/in.jsonl", (tmp_path / "in.jsonl").read_bytes())
    plain = json.loads(spec.read_text()) | {"input": "s3://bucket/data/in.jsonl"}
    store.put("jobs/b/spec.json", json.dumps(plain).encode())
    assert main("genai_stack.bulk.batch", BatchSpec, run_batch, ["s3://bucket/jobs/b/spec.json"]) == 0
    names = [info.key.removeprefix("jobs/b/output/") for info in store.list("jobs/b/output/")]
    assert names == ["errors.jsonl", "events.jsonl", "manifest.json", "metrics.jsonl", "output.jsonl"]
    assert len(store.get("jobs/b/output/output.jsonl").splitlines()) == 3


def test_sigterm_finishes_what_is_in_flight(batch_spec: Spec, tmp_path: Path, home: Path) -> None:
    spec = batch_spec([chat_line(n, max_tokens=64) for n in range(80)], max_in_flight=4)
    process = start("batch", spec, home)
    _wait_for_part(tmp_path / "out", process)
    process.send_signal(signal.SIGTERM)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "lines left; the same command goes on" in words
    assert not lines_of(tmp_path / "out" / "metrics.jsonl")[-1]["failed"]
    finished = lines_of(tmp_path / "out" / "metrics.jsonl")[-1]["completed"]
    assert run("batch", spec, home) == (0, "")
    starts = [e for e in lines_of(tmp_path / "out" / "events.jsonl") if e["type"] == "started"]
    assert starts[1]["finished"] == finished > 0
    assert [e["custom_id"] for e in outputs(tmp_path / "out")[0]] == [f"r-{n}" for n in range(80)]


def test_a_stop_before_anything_ran_is_an_interruption(batch_spec: Spec, tmp_path: Path) -> None:
    spec = batch_spec([chat_line(0)])
    stop = threading.Event()
    stop.set()

    def work(spec: BatchSpec, place: Any, log: Any, _stop: threading.Event) -> None:
        run_batch(spec, place, log, stop)

    assert main("genai_stack.bulk.batch", BatchSpec, work, [str(spec)]) == 75


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_lost_or_doubled(batch_spec: Spec, tmp_path: Path, home: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"{seed=}")
    dice = random.Random(seed)
    spec = batch_spec([chat_line(n, max_tokens=48) for n in range(LINES)], max_in_flight=8)
    before: set[int] = set()
    for _ in range(4):
        process = start("batch", spec, home)
        if dice.random() < 0.7:
            _wait_for_part(tmp_path / "out", process, more_than=len(before))
        time.sleep(dice.uniform(0, 0.5))
        process.kill()
        process.communicate()
        now = _finished(tmp_path / "out")
        assert before <= now
        before = now
    assert run("batch", spec, home) == (0, "")
    starts = [e for e in lines_of(tmp_path / "out" / "events.jsonl") if e["type"] == "started"]
    assert starts[-1]["finished"] == len(before)
    assert [e["custom_id"] for e in outputs(tmp_path / "out")[0]] == [f"r-{n}" for n in range(LINES)]
    print(f"{len(starts)} runs, which began with {[e['finished'] for e in starts]} of {LINES} lines")


def _finished(output: Path) -> set[int]:
    found = set()
    for part in output.glob("parts/*.jsonl"):
        for line in part.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                found.add(json.loads(line)["line"])
    return found


def _wait_for_part(output: Path, process: Any, more_than: int = 0) -> None:
    deadline = time.monotonic() + 100
    while process.poll() is None and len(_finished(output)) <= more_than:
        assert time.monotonic() < deadline
        time.sleep(0.02)
