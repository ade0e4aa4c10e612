"""`genai-stack summarize` and its like, on files and pipes; the methods of the client, awaited and not."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genai_stack import GenAIStack
from genai_stack.cli.run import run
from genai_stack.client.asynchronous import AsyncGenAIStack
from genai_stack.protocol import tasks
from genai_stack.service import ApiKeys, build_app
from tests.cli.commands import parsed
from tests.service.fakes import MemoryRecords, MemoryRegistry, services, serving
from tests.service.task_host import ReadingHost, asked

GUIDE = (Path(__file__).parents[2] / "docs/tasks.md").read_text()
SCHEMA = '{"type": "object", "properties": {"name": {"type": "string"}}}'


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[ReadingHost]:
    made, records = ReadingHost(), MemoryRecords()
    app = build_app(services(made, MemoryRegistry(), records), keys=ApiKeys(records, "sk-x"))
    with serving(app) as port:
        monkeypatch.setenv("GENAI_STACK_BASE_URL", f"http://127.0.0.1:{port}/v1")
        monkeypatch.setenv("GENAI_STACK_API_KEY", "sk-x")
        yield made


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "in.txt"
    path.write_text("A shop sells bread for 4 euros. It rains.")
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        (["summarize", "--length", "long"], "So it is.\n"),
        (["translate", "--to", "fr", "--from", "en"], "So it is.\n"),
        (["rewrite", "--tone", "formal"], "So it is.\n"),
        (["classify", "--label", "a=first", "--label", "b"], "b\t1.000\n"),
        (["extract", "--schema", SCHEMA], '{\n  "name": "x"\n}\n'),
    ],
    ids=str,
)
def test_files_and_pipes(
    host: ReadingHost,
    file: str,
    arguments: list[str],
    out: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run([*arguments, file]) == 0
    assert capsys.readouterr().out == out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path(file).read_bytes())))
    assert run([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["object"].startswith("task.")
    first, second = host.bodies
    assert asked(first) == asked(second)


def test_an_answer_with_its_places(host: ReadingHost, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    host.say = lambda body: "For 4 euros."
    assert run(["answer", "How much is bread?", file]) == 0
    out, err = capsys.readouterr()
    assert out == "For 4 euros.\n"
    assert err == f"  {file}:0-31  A shop sells bread for 4 euros.\n"
    host.say = lambda body: "That is not stated."
    assert run(["answer", "How much is a boat?", file]) == 0
    assert capsys.readouterr().err == "not found\n"


def test_the_assistant_in_pipes(
    host: ReadingHost, file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host.say = lambda body: "For 4 euros."
    assert run(["assistant", "--file", file, "How", "much", "is", "bread?"]) == 0
    out, err = capsys.readouterr()
    assert out == "For 4 euros.\n"
    places, talk = err.splitlines()
    assert places == f"  {file}:0-31  A shop sells bread for 4 euros."
    assert talk.startswith("  conversation conv_")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"How much is it?\n")))
    assert run(["assistant", "--file", file, "--conversation", talk.split()[1], "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["object"], found["conversation"]) == ("task.assistance", talk.split()[1])
    assert "Answer: For 4 euros." in asked(host.bodies[1])
    assert run(["assistant", "--file", file, "--forget", "--json", "What is sold?"]) == 0
    assert json.loads(capsys.readouterr().out)["conversation"] is None


def test_the_assistant_talks(
    host: ReadingHost, file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    lines = iter(["How much is bread?", " ", "How much is it?"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines, None) or _end(lines))
    host.say = lambda body: "For 4 euros."
    assert run(["assistant", "--file", file]) == 0
    out, err = capsys.readouterr()
    assert out == "For 4 euros.\n" * 2
    assert err.count("conversation conv_") == 1
    assert len(host.bodies) == 3


def _end(lines: Iterator[str]) -> str:
    raise EOFError


def test_examples_come_from_a_file(host: ReadingHost, file: str, tmp_path: Path) -> None:
    (tmp_path / "shown.jsonl").write_text('{"text": "a", "output": "b"}\n\n{"text": "c", "output": "d"}\n')
    assert run(["summarize", file, "--examples", str(tmp_path / "shown.jsonl")]) == 0
    assert [m["content"] for m in host.bodies[0]["messages"] if m["role"] == "assistant"] == ["b", "d"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["summarize", "/dev/null"], 2, "no text"),
        (["translate", "FILE", "--to", "xx"], 1, "no known language"),
        (["classify", "FILE", "--label", "a"], 1, "one label only"),
        (["extract", "FILE", "--schema", "{"], 2, "no JSON Schema"),
        (["answer", "Who?", "FILE", "--store", "vs"], 2, "don't go together"),
        (["assistant", "Who?"], 2, "give --store, or --file"),
        (["assistant", "Who?", "--file", "FILE", "--store", "vs"], 2, "not both"),
        (["assistant", "Who?", "--file", "FILE", "--conversation", "conv_x"], 1, "no conversation"),
    ],
    ids=str,
)
def test_what_can_t_be_done_is_told(
    host: ReadingHost, file: str, arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([file if a == "FILE" else a for a in arguments]) == code
    assert says in capsys.readouterr().err
    assert host.bodies == []


def test_both_clients(host: ReadingHost) -> None:
    def asks(service: Any) -> list[Any]:
        return [
            service.summarize("a"),
            service.translate("a", "fr"),
            service.rewrite("a", instruction="b"),
            service.classify("a", ["x", {"name": "y", "description": "z"}]),
            service.extract("a", json.loads(SCHEMA)),
            service.answer("a", passages=["So it is, and so."]),
            service.assistant("a", passages=["So it is, and so."], instructions="b"),
        ]

    async def awaited() -> list[Any]:
        async with await AsyncGenAIStack.local() as stack:
            found = [await each for each in asks(stack.service)]
            events = [each async for each in stack.service.stream("summarize", text="a")]
            return [*found, *events]

    with GenAIStack.local() as stack:
        found = [*asks(stack.service), *stack.service.stream("summarize", text="a")]
    others = asyncio.run(awaited())
    assert [type(each) for each in found] == [type(each) for each in others]
    assert [each.object for each in found[-2:]] == ["task.delta", "task.summary"]


def test_the_guide_is_true() -> None:
    for command in re.findall(r"(?:^|\| )(genai-stack [^|\n]*)", GUIDE, re.MULTILINE):
        parsed(command, files=False)
    named = set(re.findall(r"`([a-z_]+)`", GUIDE))
    for kind in (*tasks.TaskRequest.__subclasses__(), tasks.AssistantRequest):
        assert set(kind.__struct_fields__) - {"stream"} <= named
