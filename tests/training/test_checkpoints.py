"""Checkpoints count once they are committed and whole; the newest such is found wherever the run restarts."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from genai_stack.errors import InvalidSpec
from genai_stack.local.objects import DirectoryObjects
from genai_stack.training.checkpoints import Checkpoints
from genai_stack.training.contents import fault
from genai_stack.training.outputs import RunLog
from genai_stack.training.place import Place, mirrored
from genai_stack.training.spec import TrainingSpec, parse

Open = Callable[..., Checkpoints]
SPEC = {"name": "n", "method": "lora", "output": "s3://bucket/runs/n", "data": {"train": "t.jsonl"}}


def spec(**changes: Any) -> TrainingSpec:
    return parse({**SPEC, **changes})


@pytest.fixture
def open_in() -> Iterator[Callable[..., Checkpoints]]:
    with ExitStack() as logs:
        yield lambda place, rows="r", **changes: Checkpoints(
            spec(**changes), place, logs.enter_context(RunLog(place.path)), rows=rows
        )


def make(place: Place, step: int) -> Path:
    """What a trainer leaves aside."""
    made = place.path / "checkpoints" / ".partial" / f"checkpoint-{step}"
    (made / "nested").mkdir(parents=True)
    (made / "weights.safetensors").write_bytes(bytes([step]) * 1000)
    (made / "nested" / "state.json").write_text(json.dumps({"step": step}))
    return made


@pytest.fixture
def store(tmp_path: Path) -> DirectoryObjects:
    return DirectoryObjects(tmp_path / "store")


@pytest.fixture(params=["directory", "store"])
def place(request: pytest.FixtureRequest, tmp_path: Path, store: DirectoryObjects) -> Place:
    return Place(tmp_path / "run", *((store, "runs/n") if request.param == "store" else ()))


def elsewhere(place: Place, tmp_path: Path) -> Place:
    """The same run on another machine: the prefix is all it shares; a directory is the same one."""
    return place if place.store is None else Place(tmp_path / "another", place.store, "runs/n")


def test_the_newest_committed_one_is_found_elsewhere_with_what_it_told(
    open_in: Open, place: Place, tmp_path: Path
) -> None:
    checkpoints = open_in(place)
    assert checkpoints.newest() is None
    for step in (1, 9, 10):
        checkpoints.commit(make(place, step), step, tokens=step * 100, seconds=0.5)
    make(place, 11)  # never committed
    found = open_in(elsewhere(place, tmp_path)).newest()
    assert found is not None
    assert (found.step, found.told) == (10, {"tokens": 1000, "seconds": 0.5})
    assert (found.path / "weights.safetensors").read_bytes() == bytes([10]) * 1000
    assert json.loads((found.path / "nested" / "state.json").read_bytes()) == {"step": 10}


def test_two_are_kept(open_in: Open, place: Place) -> None:
    checkpoints = open_in(place)
    for step in range(1, 6):
        checkpoints.commit(make(place, step), step)
    assert sorted(path.name for path in (place.path / "checkpoints").glob("step-*")) == ["step-4", "step-5"]
    assert {name.partition("/")[0] for name in place.names("checkpoints")} <= {"step-4", "step-5"}


@pytest.mark.parametrize("harm", ["flipped", "cut", "gone", "manifest", "uncommitted"])
def test_a_damaged_newest_falls_back_to_the_one_before_with_a_warning(
    open_in: Open, tmp_path: Path, harm: str
) -> None:
    place = Place(tmp_path / "run")
    checkpoints = open_in(place)
    for step in (1, 2):
        checkpoints.commit(make(place, step), step)
    newest = place.path / "checkpoints" / "step-2"
    weights = newest / "weights.safetensors"
    if harm == "flipped":
        weights.write_bytes(b"\x07" + weights.read_bytes()[1:])
    elif harm == "cut":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif harm == "gone":
        weights.unlink()
    elif harm == "manifest":
        (newest / "manifest.json").write_bytes(b"[1")
    else:
        (newest / "manifest.json").unlink()
    found = open_in(place).newest()
    assert found is not None
    assert found.step == 1
    last = json.loads((place.path / "events.jsonl").read_text().splitlines()[-1])
    assert (last["level"], last["type"], last["checkpoint"]) == ("warn", "checkpoint_damaged", "step-2")


def test_a_checkpoint_damaged_here_is_fetched_anew_from_the_store(
    open_in: Open, tmp_path: Path, store: DirectoryObjects
) -> None:
    place = Place(tmp_path / "run", store, "runs/n")
    open_in(place).commit(make(place, 3), 3)
    (place.path / "checkpoints" / "step-3" / "weights.safetensors").write_bytes(b"torn")
    found = open_in(place).newest()
    assert found is not None
    assert (found.path / "weights.safetensors").read_bytes() == bytes([3]) * 1000


def test_an_upload_that_broke_off_does_not_count(
    open_in: Open, tmp_path: Path, store: DirectoryObjects
) -> None:
    place = Place(tmp_path / "run", store, "runs/n")
    checkpoints = open_in(place)
    for step in (1, 2):
        checkpoints.commit(make(place, step), step)
    store.delete("runs/n/checkpoints/step-2/manifest.json")
    found = open_in(Place(tmp_path / "another", store, "runs/n")).newest()
    assert found is not None
    assert found.step == 1


def test_another_spec_is_refused(open_in: Open, place: Place) -> None:
    open_in(place).commit(make(place, 1), 1)
    with pytest.raises(InvalidSpec, match="made by another spec"):
        open_in(place, seed=9).newest()


def test_other_data_under_the_same_name_is_refused(open_in: Open, place: Place) -> None:
    open_in(place).commit(make(place, 1), 1)
    with pytest.raises(InvalidSpec, match="made from other data"):
        open_in(place, rows="s").newest()


def test_what_an_earlier_attempt_told_goes_on_elsewhere(tmp_path: Path, store: DirectoryObjects) -> None:
    for attempt, folder in enumerate(("one", "two")):
        place = Place(tmp_path / folder, store, "runs/n")
        place.path.mkdir()
        with mirrored(place, every=0.01), RunLog(place.path) as log:
            log.event("started", f"attempt {attempt}")
            log.metrics(step=attempt)
        shutil.rmtree(place.path)
    told = [json.loads(line)["message"] for line in store.get("runs/n/events.jsonl").splitlines()]
    assert told == ["attempt 0", "attempt 1"]
    assert len(store.get("runs/n/metrics.jsonl").splitlines()) == 2


def test_processes_that_fetch_at_once_all_find_it(tmp_path: Path, store: DirectoryObjects) -> None:
    """As the ranks of a node do when a run starts anew."""
    store.put("runs/n/manifest.json", b"{}" * 50_000)
    place = Place(tmp_path / "run", store, "runs/n")
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(_holds, [place.path] * 16, [tmp_path / "store"] * 16))
    assert found == [100_000] * 16


def _holds(path: Path, store: Path) -> int:
    place = Place(path, DirectoryObjects(store), "runs/n")
    assert place.fetch("manifest.json")
    return (path / "manifest.json").stat().st_size


def test_only_the_first_process_tells(
    tmp_path: Path, store: DirectoryObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("runs/n/events.jsonl", b"theirs\n")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    place = Place(tmp_path / "run", store, "runs/n")
    with mirrored(place, every=0.01):
        place.path.mkdir()
        (place.path / "events.jsonl").write_bytes(b"stale\n")
    assert store.get("runs/n/events.jsonl") == b"theirs\n"


def test_a_damaged_one_takes_no_whole_one_s_place(open_in: Open, place: Place) -> None:
    for step in (1, 15, 20):
        open_in(place).commit(make(place, step), step)
    for step in (15, 20):
        (place.path / "checkpoints" / f"step-{step}" / "weights.safetensors").write_bytes(b"torn")
        for name in place.names(f"checkpoints/step-{step}"):
            place.forget(f"checkpoints/step-{step}/{name}")
    checkpoints = open_in(place)
    checkpoints.commit(make(place, 12), 12)
    found = checkpoints.newest()
    assert found is not None
    assert found.step == 12


def test_what_another_machine_left_is_retired_too(
    open_in: Open, tmp_path: Path, store: DirectoryObjects
) -> None:
    for step, folder in enumerate(("one", "two", "three", "four"), 1):
        place = Place(tmp_path / folder, store, "runs/n")
        open_in(place).commit(make(place, step), step)
    assert {name.partition("/")[0] for name in place.names("checkpoints")} == {"step-4"}


def test_a_run_whose_prefix_was_emptied_starts_anew(tmp_path: Path, store: DirectoryObjects) -> None:
    place = Place(tmp_path / "run", store, "runs/n")
    (place.path / "checkpoints").mkdir(parents=True)
    with mirrored(place):
        assert list(place.path.iterdir()) == []


def test_a_checkpoint_whose_contents_would_run_something_is_passed_over(open_in: Open, tmp_path: Path) -> None:
    place, ran = Place(tmp_path / "run"), tmp_path / "ran"
    checkpoints = open_in(place)
    checkpoints.commit(make(place, 1), 1)
    made = make(place, 2)
    (made / "nested" / ".metadata").write_bytes(pickle.dumps(Hostile(ran)))
    checkpoints.commit(made, 2)
    found = open_in(place).newest()
    assert found is not None
    assert found.step == 1
    assert not ran.exists()
    last = json.loads((place.path / "events.jsonl").read_text().splitlines()[-1])
    assert "it names" in last["message"]


class Hostile:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_torch_s_own_table_of_contents_is_read(tmp_path: Path) -> None:
    import torch
    import torch.distributed.checkpoint as dcp

    state: dict[str, Any] = {
        "half": torch.zeros(2, dtype=torch.bfloat16), "step": torch.tensor(1.0), "betas": (0.9, 0.99), "n": 3,
    }  # fmt: skip
    dcp.save(state, checkpoint_id=tmp_path / "optimizer_0", no_dist=True)
    assert (tmp_path / "optimizer_0" / ".metadata").is_file()
    assert fault(tmp_path) is None
    (tmp_path / "optimizer_0" / ".metadata").write_bytes(b"\x80")
    assert fault(tmp_path) is not None
