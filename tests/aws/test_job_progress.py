"""Reading along with a job: what is new, each line once, however the file grows."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from genai_stack import json_lines
from genai_stack.aws.job_progress import EVENTS, JobProgress
from tests.aws.fakes import Account

KEY = f"jobs/j/output/{EVENTS}"


def progress(account: Account) -> JobProgress:
    return JobProgress(account.records, account.objects, account.registry)  # type: ignore[arg-type]


@given(
    st.lists(st.sampled_from([b'{"a": 1}', b"{}", b"\n", b"\r", b"torn", b'{"b": 2}\n', b"7\n"]), max_size=12),
    st.data(),
)
def test_reading_on_finds_what_reading_anew_finds(pieces: list[bytes], data: st.DataObject) -> None:
    account, whole = Account(), b""
    reader = progress(account)
    assert reader.lines("j", EVENTS) == []
    for piece in pieces:
        whole += piece
        account.objects.put(KEY, whole)
        after = data.draw(st.integers(0, 6))
        assert reader.lines("j", EVENTS, after) == json_lines.parse(whole, after)


def test_following_costs_what_is_new() -> None:
    account, whole = Account(), b""
    reader = progress(account)
    for number in range(100):
        whole += json.dumps({"n": number}).encode() + b"\n"
        account.objects.put(KEY, whole)
        (news,) = reader.lines("j", EVENTS, number)
        assert news == {"n": number}
    assert account.objects.sent < 2 * len(whole)


def test_a_file_that_was_replaced_is_read_anew() -> None:
    account = Account()
    reader = progress(account)
    account.objects.put(KEY, b'{"a": 1}\n{"a": 2}\n')
    assert len(reader.lines("j", EVENTS)) == 2
    account.objects.put(KEY, b'{"b": 1}\n')
    assert reader.lines("j", EVENTS, 2) == []
    account.objects.put(KEY, b'{"b": 1}\n{"b": 2}\n{"b": 3}\n')
    assert reader.lines("j", EVENTS, 2) == [{"b": 3}]
