"""House rules that are about files: their length, their words, what the wheel carries."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.order import LONGEST

ROOT = Path(__file__).parents[2]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def text_files() -> list[Path]:
    return [p for p in tracked() if b"\0" not in p.read_bytes()[:8192]]


def test_no_module_is_longer_than_450_lines() -> None:
    long = {
        str(p.relative_to(ROOT)): count
        for p in tracked()
        if p.suffix == ".py" and (count := p.read_text().count("\n")) > 450
    }
    assert not long


def test_no_unfinished_work_is_marked_in_the_code() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    found = [
        f"{p.relative_to(ROOT)}:{number}"
        for p in tracked()
        if p.suffix == ".py" and p != Path(__file__)
        for number, line in enumerate(p.read_text().splitlines(), 1)
        if marks.search(line)
    ]
    assert not found


def test_what_comes_first_among_the_tests_is_there() -> None:
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []


def test_the_locked_requirements_are_whole_and_name_no_host() -> None:
    for path in (ROOT / "requirements").rglob("*.txt"):
        text = path.read_text()
        assert "://" not in text, path.name
        assert "--index-url" not in text, path.name
        assert "--find-links" not in text, path.name
        for requirement in re.split(r"\n(?=\S)", text.strip()):
            assert requirement.startswith("#") or "--hash=sha256:" in requirement, requirement[:80]


def test_quickstart_pins_are_the_test_pins() -> None:
    def pins(name: str) -> set[str]:
        text = (ROOT / "requirements" / name).read_text()
        return set(re.findall(r"^[A-Za-z0-9_.-]+==[^ \\;]+", text, re.MULTILINE))

    assert pins("quickstart.txt") <= pins("test.txt")


def test_the_makefile_installs_the_torch_that_pyproject_pins() -> None:
    (pinned,) = set(re.findall(r'"(torch==[\d.]+)"', (ROOT / "pyproject.toml").read_text()))
    assert f"TORCH = {pinned}\n" in (ROOT / "Makefile").read_text()


def test_the_wheel_carries_the_built_in_model(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    source = ROOT / "src"
    want = {
        str(p.relative_to(source))
        for p in (source / "genai_stack").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        assert want <= set(archive.namelist())
