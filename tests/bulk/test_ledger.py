"""What is finished stays finished, once, wherever a kill tears the files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_stack.bulk import ledger as ledgers
from genai_stack.bulk.entries import Usage, answered, failed
from genai_stack.bulk.ledger import Counts, Ledger
from genai_stack.errors import InvalidSpec
from tests.bulk.conftest import lines_of

ABOUT = {"input": "abc"}
BODY = b'{"usage": {"prompt_tokens": 2, "completion_tokens": 3}}'


def opened(output: Path, total: int = 5) -> Ledger:
    return Ledger(output, total, ABOUT)


def test_outputs_are_in_the_input_s_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "PART_BYTES", 100)
    first = opened(tmp_path)
    first.record(4, answered("d", 200, BODY))
    first.record(2, failed("b", "engine_failed", "it died"))
    first.record(4, failed("d", "late", "again"))
    first.close()
    second = opened(tmp_path)
    assert [second.done(n) for n in range(5)] == [False, False, True, False, True]
    second.record(3, answered("c", 400, b'{"error": {"message": "no"}}'))
    second.record(1, answered("a", 200, b'{\n "x": 1}'))
    assert second.counts == Counts(5, 2, 2)
    assert second.usage == Usage(2, 3)
    second.write_outputs()
    assert [e["custom_id"] for e in lines_of(tmp_path / "output.jsonl")] == ["a", "d"]
    refused, broken = sorted(lines_of(tmp_path / "errors.jsonl"), key=lambda e: e["response"] is None)
    assert (refused["response"]["status_code"], refused["error"]) == (400, None)
    assert (broken["response"], broken["error"]) == (None, {"code": "engine_failed", "message": "it died"})
    second.remove_parts()
    assert not (tmp_path / "parts").exists()


def test_another_batch_s_parts_are_left_alone(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with pytest.raises(InvalidSpec, match="another batch"):
        Ledger(tmp_path, 5, {"input": "def"})
    (tmp_path / "mine" / "parts").mkdir(parents=True)
    (tmp_path / "mine" / "parts" / "precious.jsonl").write_text("x")
    with pytest.raises(InvalidSpec, match="no known batch"):
        opened(tmp_path / "mine")


def test_an_answer_that_isn_t_json_is_an_error() -> None:
    entry = answered("a", 200, b"<html>")
    assert not entry.succeeded
    assert entry.error
    assert entry.error.code == "engine_failed"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_part_torn_anywhere_loses_at_most_what_wasn_t_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    output = tmp_path_factory.mktemp("torn")
    first = opened(output, 6)
    for number in range(3):
        first.record(number, answered(f"r{number}", 200, b'{"n": %d}' % number))
    first.close()
    part = output / "parts" / "00001.jsonl"
    whole = part.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    part.write_bytes(whole[:cut])
    kept = whole[:cut].count(b"\n")
    second = opened(output, 6)
    assert [n for n in range(6) if second.done(n)] == list(range(kept))
    for number in range(6):
        second.record(number, answered(f"r{number}", 200, b"{}"))
    second.close()
    third = opened(output, 6)
    third.write_outputs()
    assert [e["custom_id"] for e in lines_of(output / "output.jsonl")] == [f"r{n}" for n in range(6)]
    third.close()
