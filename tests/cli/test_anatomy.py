"""`genai-stack anatomy` from the shell to the weights and back, and docs/anatomy.md, whose every number is computed."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from genai_stack import GenAIStack
from genai_stack.cli.anatomy_screen import ROWS, show_anatomy, shown
from genai_stack.cli.run import run
from genai_stack.client.asynchronous import AsyncGenAIStack
from genai_stack.config import StackConfig
from genai_stack.hosting.invocations import Invocations
from genai_stack.ports import ModelVersion, Reply
from genai_stack.protocol.anatomy import Anatomy
from genai_stack.service import ApiKeys, build_app
from tests.cli.commands import parsed
from tests.hosting.in_process import invocations, post
from tests.service.fakes import FakeHost, MemoryRecords, MemoryRegistry, services, serving

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/anatomy.md").read_text()
ENCODER = "all-minilm-l6-v2"
SENTENCES = "please buy an apple and an orange", "apple unveiled the new phone"


class InProcess(FakeHost):
    """A ModelHost over model servers in this process. An answer is remembered: the guide asks what a test asks."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._replies: dict[tuple[str, bytes], Reply] = {}
        self._servers: dict[str, Invocations] = {
            name: invocations(source, home) for name, source in (("builtin", "builtin"), (ENCODER, "minilm"))
        }

    async def invoke(self, model: str, route: str, body: bytes, *, wait: float | None = None) -> Reply:
        if (model, body) not in self._replies:
            asked = msgspec.json.decode(body) | {"model": "base"}
            status, told = await post(self._servers[model], route, asked)
            reply = Reply(status, "application/json", json.dumps(told | {"model": model}).encode())
            self._replies[model, body] = reply
        return self._replies[model, body]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An API over both models that ship; gives its base URL."""
    registry, records = MemoryRegistry(), MemoryRecords()
    registry.configured = {
        "builtin": ModelVersion("builtin", "builtin"),
        ENCODER: ModelVersion(ENCODER, "minilm", "embedding"),
    }
    host = InProcess(tmp_path_factory.mktemp("home"))
    app = build_app(services(host, registry, records), keys=ApiKeys(records, "sk-x"), config=StackConfig())
    with serving(app) as port:
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture(autouse=True)
def reached(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_STACK_BASE_URL", api)
    monkeypatch.setenv("GENAI_STACK_API_KEY", "sk-x")
    monkeypatch.setenv("COLUMNS", "100")


def test_the_four_steps_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["anatomy", "Rome", "is", "a city. \x1b[31m"]) == 0
    out = capsys.readouterr().out
    for told in ("1  Tokens", "2  Embeddings", "3  Attention", "4  Output", "layer 5", "all others", "·city"):
        assert told in out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 100


def test_an_encoder_is_shown_with_what_it_was_compared_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["anatomy", "--model", ENCODER, SENTENCES[0], "--compare", "pear", "--compare", "no[kia]"]) == 0
    out = capsys.readouterr().out
    for told in ("One vector for all", "pear", "no[kia]", "after layer 5"):
        assert told in out


def test_json_is_the_answer_of_the_api(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = (
        "--layer 1 --head 0 --position 2 --top-k 3 --attention-top 1 --neighbours 0 --temperature 0".split()
    )
    assert run(["anatomy", "--json", *chosen, "Rome is a city."]) == 0
    told = msgspec.json.decode(capsys.readouterr().out, type=Anatomy)
    assert told.attention is not None
    assert [(part.layer, part.head, len(part.rows)) for part in told.attention] == [(1, 0, 1)]
    assert told.output is not None
    assert [c.probability for c in told.output[0].top] == [1, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["x", "--model", "nope"], "no such model"),
        (["x", "--layer", "9"], "'layers' has 9, but this model has 6 layers"),
        (["x", "--model", ENCODER, "--top-k", "3"], "no output projection"),
        (["a " * 600], "512 tokens at most"),
        (["x", "--step", "tokens", "--head", "0"], "'heads' goes with the step 'attention'"),
    ],
    ids=str,
)
def test_a_refusal_is_one_line(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["anatomy", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("given", [b"", b"\xff\xfe"], ids=["nothing", "not UTF-8"])
def test_standard_input_must_be_text(given: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
    assert run(["anatomy"]) == 2


def test_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    every = ["embeddings", "attention", "layers", "output"]
    solid = ["--model", ENCODER, "--step", "embeddings", "--dimensions", "3"]
    for number, (options, drawn) in enumerate(((solid, every[:1]), ([], every))):
        place = tmp_path / str(number)
        assert run(["anatomy", "--png", str(place), *options, "it costs $5 or $6 漢"]) == 0
        files = capsys.readouterr().out.split()
        assert files == [str(place / f"{name}.png") for name in drawn]
        assert all(Path(file).read_bytes().startswith(b"\x89PNG") for file in files)


def test_pictures_without_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("genai_stack.cli.anatomy.find_spec", lambda name: None)
    assert run(["anatomy", "--png", str(tmp_path), "x"]) == 1
    assert "genai-stack[anatomy]" in capsys.readouterr().err


def test_what_is_shown_of_a_piece() -> None:
    assert shown(" a\tb\n\x1b[0m") == "·a⇥b↵\\x1b[0m"
    assert shown("x" * 99) == "x" * 13 + "…"


def ask(text: str, **options: Any) -> Anatomy:
    with GenAIStack.local() as stack:
        return stack.service.anatomy(text, model=ENCODER, **options)


def test_a_long_text_is_shown_by_its_end() -> None:
    out = io.StringIO()
    show_anatomy(
        ask("one two three four five " * 20, heads="mean"), words=[], console=Console(file=out, width=100)
    )
    first_column = re.search(r"^ +(\d+) +\d+", out.getvalue().split("layer 0")[1], re.MULTILINE)
    assert first_column
    assert int(first_column[1]) == 102 - ROWS


def test_async_twin() -> None:
    async def look() -> Anatomy:
        async with await AsyncGenAIStack.local() as stack:
            return await stack.service.anatomy("a cat", model=ENCODER, steps=["embeddings"])

    assert asyncio.run(look()) == ask("a cat", steps=["embeddings"])


def commands() -> list[str]:
    return re.findall(
        r"(genai-stack anatomy[^#\n]*)", "\n".join(re.findall(r"```\n(.*?)```", GUIDE, re.DOTALL))
    )


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_guide_is_one_the_cli_takes(command: str) -> None:
    assert parsed(command).info_name == "anatomy"


def test_the_guide_names_every_parameter_and_part_of_the_answer() -> None:
    from genai_stack.client.anatomy import AnatomyOptions
    from genai_stack.protocol.anatomy import AnatomyRequest

    named = set(re.findall(r"`([a-z_]+)`", "\n".join(re.findall(r"^\|.*$", GUIDE, re.MULTILINE))))
    options = set(AnatomyRequest.__struct_fields__) - {"model", "text"}
    assert options == set(AnatomyOptions.__annotations__)
    assert options | set(Anatomy.__struct_fields__) - {"object", "model", "shape", "usage"} <= named


def test_apple_starts_as_one_vector_and_ends_as_two() -> None:
    """The worked example: its table and its words, computed from the weights that ship."""
    lines = re.findall(r"^\| ([a-z ]+) \| (\d) \| ([\d. |]+) \|$", GUIDE, re.MULTILINE)
    header = re.search(r"^\| sentence \| layer \| (.*) \|$", GUIDE, re.MULTILINE)
    assert header
    words = header[1].split(" | ")
    fruits, companies = set(words[:4]), set(words[4:])
    told: dict[tuple[str, int], list[float]] = {}
    starts, ends = [], []
    for sentence in SENTENCES:
        found = ask(sentence, compare=words, heads="mean")
        (place,) = [token.position for token in found.tokens if token.text == "apple"]
        assert found.embeddings is not None
        assert found.states is not None
        exact = ask(sentence, steps=["embeddings"], positions=[place], neighbours=0, vectors=True).embeddings
        assert exact is not None
        start = msgspec.structs.replace(found.embeddings[place], vector=exact[0].vector)
        starts.append((start.vector, [near.token for near in start.neighbours]))
        for state in found.states:
            if state.position == place:
                told[sentence, state.layer] = state.compared or []
        ends.append([near.token for near in state_at(found, place, 5)])
        ranked = [word for _, word in sorted(zip(told[sentence, 5], words, strict=True), reverse=True)]
        assert set(ranked[:4]) == fruits if sentence == SENTENCES[0] else set(ranked[:2]) <= companies
    assert starts[0] == starts[1]
    for (sentence, layer), row in {(s, int(layer)): r for s, layer, r in lines}.items():
        assert [float(cell) for cell in row.split(" | ")] == pytest.approx(told[sentence, layer], abs=0.006)
    assert len(lines) == 4
    assert {"fruit"} <= set(ends[0])
    assert {"iphone", "mac"} <= set(ends[1]) - set(ends[0])
    for near in (*starts[0][1], *ends[0], *ends[1][:4]):
        assert f"*{near}*" in GUIDE


def state_at(found: Anatomy, position: int, layer: int) -> list[Any]:
    return next(s.nearest for s in found.states or [] if (s.layer, s.position) == (layer, position))


def test_the_guide_s_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    # Through the API of this test: its host isn't reachable otherwise.
    exec(compile(program.replace("stack.hosting.", "stack.service."), "docs/anatomy.md", "exec"), {})
    assert capsys.readouterr().out.count("\n") == 2 * 7
