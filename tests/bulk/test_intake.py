"""A batch file is checked whole: every fault has a type and a line, whatever the file is."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_stack.bulk.intake import Fault, inspect, read, require
from genai_stack.errors import InvalidData
from genai_stack.protocol import batch_lines as intake
from tests.bulk.conftest import CHAT, chat_line, write_batch


def faults(tmp_path: Path, *lines: dict[str, Any] | str, **asked: Any) -> list[tuple[int | None, str]]:
    path = tmp_path / "in.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return [(fault.line, fault.code) for fault in inspect(path, **asked).faults]


def test_a_good_file_passes_and_comes_back_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(f"\n{json.dumps(chat_line(1))}\n\n{json.dumps(chat_line(2))}")
    found = require(path)
    assert (found.lines, found.url, found.model, found.faulty) == (2, CHAT, "tiny", 0)
    lines = list(read(path))
    assert [(line.number, line.custom_id) for line in lines] == [(2, "r-1"), (4, "r-2")]
    assert json.loads(lines[0].body) == chat_line(1)["body"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ({**chat_line(1), "custom_id": 7}, "invalid_type"),
        ({**chat_line(1), "custom_id": ""}, "invalid_custom_id"),
        ({**chat_line(1), "custom_id": "x" * 513}, "invalid_custom_id"),
        ({**chat_line(1), "method": "GET"}, "invalid_method"),
        ({**chat_line(1), "method": None}, "invalid_type"),
        ({**chat_line(1), "url": "/v1/files"}, "invalid_url"),
        ({**chat_line(1), "url": "http://169.254.169.254/latest/meta-data/"}, "invalid_url"),
        ({**chat_line(1), "url": "http://169.254.170.2/v1/chat/completions"}, "invalid_url"),
        ({**chat_line(1), "url": "//[fd00:ec2::254]/v1/chat/completions"}, "invalid_url"),
        ({**chat_line(1), "url": "/v1/chat/completions?x=1"}, "invalid_url"),
        ({**chat_line(1), "url": "/v1/embeddings"}, "mismatched_endpoint"),
        ({**chat_line(1), "extra": 1}, "unknown_parameter"),
        ({"method": "POST", "url": CHAT, "body": {}}, "missing_required_parameter"),
        ({**chat_line(1), "body": []}, "invalid_json"),
        ({**chat_line(1), "body": {"model": "tiny"}}, "missing_required_parameter"),
        (chat_line(1, temperature=9), "invalid_value"),
        (chat_line(1, stream=True), "unsupported_parameter"),
        (chat_line(1, model="other"), "mismatched_model"),
        ("[1, 2]", "invalid_json"),
        ("{", "invalid_json"),
        ("\x00", "invalid_json"),
        ('{"custom_id": "\\ud800"}', "invalid_json"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "invalid_json"),
        (json.dumps(chat_line(1)).replace('"Say 1."', "[" * 100_000 + "]" * 100_000), "invalid_json"),
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, line: dict[str, Any] | str, code: str) -> None:
    assert faults(tmp_path, chat_line(0), line, chat_line(2), model="tiny") == [(2, code)]


def test_a_batch_has_one_of_each(tmp_path: Path) -> None:
    twin = {**chat_line(2), "custom_id": "r-1"}
    completion = {"custom_id": "c", "method": "POST", "url": "/v1/completions"}
    completion["body"] = {"model": "tiny", "prompt": "x"}
    assert faults(tmp_path, chat_line(1), twin, completion, chat_line(3, model="x")) == [
        (2, "duplicate_custom_id"),
        (3, "mismatched_endpoint"),
        (4, "mismatched_model"),
    ]
    assert faults(tmp_path, chat_line(1), endpoint="/v1/embeddings") == [(1, "mismatched_endpoint")]
    with pytest.raises(InvalidData, match=r"in\.jsonl: 1 fault\n  line 2: custom_id 'r-1' is line 1's already"):
        require(write_batch(tmp_path / "in.jsonl", [chat_line(1), twin]))


def test_only_the_first_twenty_faults_are_told(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("{}\n" * 30_000)
    found = inspect(path)
    assert (found.faulty, len(found.faults)) == (30_000, 20)
    with pytest.raises(InvalidData, match=r"(?s)30000 faults\n  line 1: .*\n  and 29980 more") as error:
        require(path)
    assert error.value.message.count("\n") == 21


def test_a_file_that_is_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "in.jsonl"
    with path.open("wb") as hole:
        hole.truncate(intake.MAX_BYTES + 1)
    assert [f.code for f in inspect(path).faults] == ["file_too_large"]
    monkeypatch.setattr(intake, "LINE_BYTES", 200)
    assert faults(tmp_path, chat_line(1), chat_line(2, user="x" * 500), chat_line(3)) == [(2, "line_too_long")]
    monkeypatch.setattr(intake, "MAX_LINES", 2)
    assert faults(tmp_path, *map(chat_line, range(5))) == [(None, "too_many_lines")]
    assert (None, "too_many_lines") in faults(tmp_path, *[""] * 50)
    monkeypatch.setattr(intake, "MAX_INPUTS", 3)
    embed = {"method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": ["a", "b"]}}
    assert faults(tmp_path, *({"custom_id": c, **embed} for c in "ab")) == [(2, "too_many_inputs")]


def test_a_file_without_a_request_is_refused(tmp_path: Path) -> None:
    assert faults(tmp_path, "", "   ") == [(None, "empty_file")]
    with pytest.raises(InvalidData, match="No such file"):
        inspect(tmp_path / "nowhere")
    with pytest.raises(InvalidData, match="directory"):
        inspect(tmp_path)


def test_a_compressed_file_isn_t_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(gzip.compress(b"x" * 10_000_000))
    assert {fault.code for fault in inspect(path).faults} == {"invalid_json"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(CHAT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
bent_lines = st.builds(
    lambda changes, drop: json.dumps(
        {k: v for k, v in {**chat_line(1), **changes}.items() if k != drop}
    ).encode(),
    st.dictionaries(st.sampled_from(["custom_id", "method", "url", "body", "x"]), json_values, max_size=2),
    st.sampled_from([None, "custom_id", "method", "url", "body"]),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        bent_lines | st.binary(max_size=60) | json_values.map(lambda v: json.dumps(v).encode()), max_size=6
    )
)
def test_whatever_the_file_is_faults_are_typed_and_placed(tmp_path: Path, lines: list[bytes]) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\n".join(lines))
    found = inspect(path, endpoint=CHAT, model="tiny")
    held = path.read_bytes().count(b"\n") + 1
    assert len(found.faults) == min(found.faulty, 20)
    for fault in found.faults:
        assert isinstance(fault, Fault)
        assert fault.message
        assert fault.code
        assert fault.line is None or 1 <= fault.line <= held
    if not found.faulty:
        assert len(list(read(path))) == found.lines
