"""kill -9 of a writer at random moments: what it acknowledged is there, and nothing is torn."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genai_stack.local.objects import DirectoryObjects
from genai_stack.local.records import SqliteRecords

RECORDS = """
import sys
from pathlib import Path
from genai_stack.local.records import SqliteRecords
store = SqliteRecords(Path(sys.argv[1]))
n = store.add("count", "n", 0)
while True:
    n += 1
    store.put("rows", f"{n:06}", {"n": n, "filler": "x" * (n * 37 % 5000)}, if_version=0)
    store.put("last", "row", {"n": n})
    store.add("count", "n", 1)
    print(n, flush=True)
"""
OBJECTS = """
import sys
from pathlib import Path
from genai_stack.local.objects import DirectoryObjects
store = DirectoryObjects(Path(sys.argv[1]))
n = int(sys.argv[2])
while True:
    n += 1
    part = bytes([n % 256]) * (n * 7919 % 60_000)
    store.put(f"own/{n:06}", (part for _ in range(3)))
    store.put("shared", [b"%06d" % n, part])
    store.delete(f"own/{n - 3:06}")
    print(n, flush=True)
"""


def run_and_kill(program: str, *arguments: str, after: float) -> int:
    """The last number the program acknowledged, killed `after` seconds from its first."""
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    first = process.stdout.readline()
    time.sleep(after)
    process.kill()
    return int((first + process.communicate()[0]).split()[-1])


@pytest.mark.parametrize("seed", range(2))
def test_records(tmp_path: Path, seed: int) -> None:
    dice, path = random.Random(seed), tmp_path / "records.sqlite"
    acknowledged = 0
    for _ in range(6):
        acknowledged = run_and_kill(RECORDS, str(path), after=dice.uniform(0, 0.25))
        store = SqliteRecords(path)
        counted = store.add("count", "n", 0)
        rows = store.query("rows", limit=100_000)
        last = store.get("last", "row")
        assert acknowledged <= counted <= acknowledged + 1
        assert counted <= len(rows) <= counted + 1
        for n, row in enumerate(rows, 1):
            assert row.item == {"n": n, "filler": "x" * (n * 37 % 5000)}
        assert last is None or last.item["n"] in (counted, counted + 1)
        if len(rows) > counted:  # written, not acknowledged: the next writer starts over from there
            store.delete("rows", rows[-1].id)
        store.close()
    assert acknowledged >= 6


@pytest.mark.parametrize("seed", range(2))
def test_objects(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    acknowledged = 0
    for _ in range(6):
        after = dice.uniform(0, 0.25)
        acknowledged = run_and_kill(OBJECTS, str(tmp_path), str(acknowledged), after=after)
        store = DirectoryObjects(tmp_path)
        infos = {info.key: info for info in store.list()}
        for n in range(max(1, acknowledged - 1), acknowledged + 1):
            assert f"own/{n:06}" in infos
        for key, info in infos.items():
            data = store.get(key)
            assert (len(data), hashlib.sha256(data).hexdigest()) == (info.bytes, info.sha256)
            n = int(key[4:]) if key != "shared" else int(data[:6])
            part = bytes([n % 256]) * (n * 7919 % 60_000)
            assert data == (part * 3 if key != "shared" else b"%06d" % n + part)
        assert "shared" in infos
        store.put("sweep", b"")
        blobs = {path.name for path in (tmp_path / "blobs").iterdir()}
        assert len(blobs) == len(store.list()), "leftovers in blobs/"
        assert list((tmp_path / "tmp").iterdir()) == []
        store.delete("sweep")
        for key in infos:  # what was written and not acknowledged, so that each round starts alike
            if key != "shared" and int(key[4:]) > acknowledged:
                store.delete(key)
        store.close()
    assert acknowledged >= 6


def test_a_sweep_leaves_a_put_in_progress_alone(tmp_path: Path) -> None:
    writing, other = DirectoryObjects(tmp_path), DirectoryObjects(tmp_path)

    def parts() -> list[bytes]:
        return [b"a", b"b"]

    def slow() -> object:
        yield b"a"
        (tmp_path / "tmp" / "leftover").write_bytes(b"torn")
        (tmp_path / "blobs" / "orphan").write_bytes(b"torn")
        other.put("other", parts())
        assert not (tmp_path / "tmp" / "leftover").exists()
        assert not (tmp_path / "blobs" / "orphan").exists()
        yield b"b"

    writing.put("key", slow())  # type: ignore[arg-type]
    assert other.get("key") == b"ab"
    writing.close()
    other.close()
