from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_stack.errors import InvalidData
from genai_stack.training.examples import LINE_BYTES, Chat, Completion, Fault, Passage, parse, read

ASK = {"role": "user", "content": "Hi"}
SAY = {"role": "assistant", "content": "Hello"}


def chat(*messages: Any, **more: Any) -> bytes:
    return json.dumps({"messages": list(messages), **more}).encode()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"{}", "has neither"),
        (b'{"text": ""}', "'text' is empty"),
        (b'{"text": 3}', "'text' isn't a string"),
        (b'{"prompt": "a"}', "'completion' is missing"),
        (b'{"completion": "a"}', "'prompt' is missing"),
        (b'{"messages": []}', "isn't a list with turns"),
        (b'{"messages": {"role": "user"}}', "isn't a list with turns"),
        (chat(ASK), "no assistant turn"),
        (chat(ASK, {**SAY, "weight": 0}), "no assistant turn"),
        (chat(ASK, {**SAY, "weight": 2}), "weight is 0 or 1"),
        (chat({"role": "bot", "content": "x"}, SAY), "messages[0]: role 'bot'"),
        (chat(ASK, SAY, {"role": "system", "content": "x"}), "messages[2]: a system turn comes first"),
        (chat(ASK, {"role": "assistant", "content": " "}), "messages[1]: content is empty"),
        (chat(ASK, {"role": "assistant", "content": None}), "messages[1]: content isn't a string"),
        (chat("Hi", SAY), "messages[0] isn't an object"),
        (chat({**ASK, "tool_calls": []}, SAY), "only an assistant turn has tool_calls"),
        (chat(ASK, {**SAY, "tool_calls": [{}]}), "needs a function with a name"),
        (
            chat(ASK, {**SAY, "tool_calls": [{"function": {"name": "f", "arguments": 1}}]}),
            "arguments are an object",
        ),
        (chat(ASK, SAY, tools="x"), "'tools' isn't a list of objects"),
        (b'{"text": ' + b"[" * 5000 + b"]" * 5000 + b"}", ""),
        (b'{"text": NaN}', "not JSON"),
    ],
)
def test_a_faulty_line_says_what_is_wrong(line: bytes, fault: str) -> None:
    with pytest.raises(Fault) as found:
        parse(line)
    assert fault in str(found.value)


def test_the_three_shapes_and_a_blank_line() -> None:
    assert parse(b'{"text": "a", "id": 1}') == Passage("a")
    assert parse(b'{"prompt": "", "completion": "b"}') == Completion("", "b")
    assert parse(chat(ASK, SAY)) == Chat([ASK, SAY])
    assert parse(b" \n") is None


@given(st.binary(max_size=200))
def test_any_bytes_are_an_example_or_a_fault(line: bytes) -> None:
    with contextlib.suppress(Fault):
        parse(line)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["role", "content", "tool_calls", "function", "name", "arguments", "weight", "x"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(["messages", "tools", "prompt", "completion", "text"]), _JSON | st.lists(_JSON)
    )
)
def test_any_object_is_an_example_or_a_fault(value: dict[str, Any]) -> None:
    try:
        example = parse(json.dumps(value).encode())
    except Fault:
        return
    assert isinstance(example, (Chat, Completion, Passage))


def test_faults_carry_their_line_numbers_and_twenty_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    good, long = b'{"text": "a"}\n', b'{"text": "' + b"a" * (LINE_BYTES + 50) + b'"}\n'
    path.write_bytes(good + b"oops\n" + b"\n" + long + good + b"[1]\n" * 30)
    with pytest.raises(InvalidData) as refused:
        list(read(path))
    lines = refused.value.message.splitlines()
    assert lines[0].endswith("32 faulty lines")
    assert lines[1].startswith("  line 2: not JSON")
    assert lines[2] == f"  line 4: longer than {LINE_BYTES} bytes"
    assert lines[3] == "  line 6: not a JSON object"
    assert lines[20].startswith("  line 23")
    assert lines[21:] == ["  and 12 more"]


def test_a_file_without_examples_or_without_a_file(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_bytes(b"\n\n")
    with pytest.raises(InvalidData, match="no example"):
        list(read(tmp_path / "e.jsonl"))
    with pytest.raises(InvalidData, match="No such file"):
        list(read(tmp_path / "none.jsonl"))


def test_a_last_line_without_a_newline_counts(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a"}\r\n{"text": "b"}')
    assert list(read(tmp_path / "a.jsonl")) == [Passage("a"), Passage("b")]
