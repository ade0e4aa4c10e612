"""DynamoRecords when DynamoDB throttles, refuses, or its answers get lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from genai_stack.aws.records import DynamoRecords
from genai_stack.errors import (
    ConditionFailed,
    GenAIStackError,
    LimitReached,
    NotDeployedError,
    Overloaded,
    TooLarge,
)
from genai_stack.ports import Record
from tests.aws.account import Account, LostAnswer, denied, throttled, times
from tests.contracts.adapters import made_table

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def store(aws: Account, tmp_path: Path) -> Iterator[DynamoRecords]:
    store = DynamoRecords(made_table(tmp_path))
    yield store
    store.close()


def test_a_throttled_table_is_asked_again(aws: Account, store: DynamoRecords) -> None:
    with aws.broken(times(4, throttled)) as hit:
        assert store.put("c", "a", {"x": 1}, if_version=0).version == 1
    assert len(hit) == 4
    with aws.broken(throttled) as hit:
        with pytest.raises(Overloaded, match="is busy"):
            store.get("c", "a")
        assert len(hit) == 5
    assert store.get("c", "a") == Record("a", {"x": 1}, 1)


def lost(request: object) -> LostAnswer:
    return LostAnswer()


def test_a_write_whose_answer_was_lost_knows_itself(aws: Account, store: DynamoRecords) -> None:
    with aws.broken(times(1, lost)):
        assert store.put("c", "a", {"x": 1}, if_version=0) == Record("a", {"x": 1}, 1)
    with aws.broken(times(2, lost)):
        assert store.put("c", "a", {"x": 2}, if_version=1).version == 2
    with aws.broken(times(1, lost)):
        assert store.put("c", "a", {"x": 3}).version == 3
    with aws.broken(times(3, lost)):
        assert store.add("usage", "k", 5, ceiling=7) == 5
    assert store.add("usage", "k", 0) == 5
    assert store.get("c", "a") == Record("a", {"x": 3}, 3)


def test_a_write_that_lost_does_not_take_anothers_for_its_own(aws: Account, store: DynamoRecords) -> None:
    store.put("c", "a", {"by": "other"}, if_version=0)
    with aws.broken(times(1, lost)), pytest.raises(ConditionFailed, match="exists; read it again"):
        store.put("c", "a", {"by": "me"}, if_version=0)
    store.add("usage", "k", 3)
    with aws.broken(times(1, lost)), pytest.raises(LimitReached):
        store.add("usage", "k", 3, ceiling=5)
    assert store.add("usage", "k", 0) == 3


def test_a_record_has_a_size(store: DynamoRecords) -> None:
    store.put("c", "a", {"text": "x" * 400_000})
    with pytest.raises(TooLarge, match=r"over DynamoDB's 400 kB; put what is large into the object store"):
        store.put("c", "a", {"text": "é" * 204_800})
    assert store.get("c", "a").version == 1  # type: ignore[union-attr]


def test_a_query_reads_on_over_dynamodbs_megabyte_pages(store: DynamoRecords) -> None:
    for number in range(12):
        store.put("c", f"{number:02}", {"text": "x" * 300_000})
    assert [record.id for record in store.query("c", limit=11)] == [f"{n:02}" for n in range(11)]
    assert [r.id for r in store.query("c", after="11", descending=True)] == [
        f"{n:02}" for n in range(10, -1, -1)
    ]


def test_a_counter_is_no_record(store: DynamoRecords) -> None:
    store.add("c", "a", 1)
    assert store.get("c", "a") is None
    assert store.query("c") == []
    store.put("c", "a", {})
    store.delete("c", "a")
    assert store.add("c", "a", 0) == 1


def test_a_ceiling_holds_under_threads(store: DynamoRecords) -> None:
    won: list[int] = []

    def add() -> None:
        for _ in range(5):
            try:
                won.append(store.add("usage", "k", 1, ceiling=7))
            except LimitReached:
                return

    threads = [threading.Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [1, 2, 3, 4, 5, 6, 7]


def test_a_table_that_is_not_there_names_the_stack(aws: Account) -> None:
    store = DynamoRecords("never-deployed")
    says = "the table never-deployed doesn't exist; run: npx aws-cdk@2.1148.1 deploy GenaiStack-Training"
    for call in (
        lambda: store.put("c", "a", {}),
        lambda: store.get("c", "a"),
        lambda: store.query("c"),
        lambda: store.add("c", "a", 1),
        lambda: store.delete("c", "a"),
    ):
        with pytest.raises(NotDeployedError, match=says):
            call()
    store.close()


def test_a_refusal_names_the_action(aws: Account, store: DynamoRecords) -> None:
    with aws.broken(denied):
        for call, action in (
            (lambda: store.put("c", "a", {}), "UpdateItem"),
            (lambda: store.get("c", "a"), "GetItem"),
            (lambda: store.query("c"), "Query"),
            (lambda: store.delete("c", "a"), "DeleteItem"),
        ):
            with pytest.raises(GenAIStackError, match=rf"may not dynamodb:{action} on the table"):
                call()


def test_no_account_at_all_says_what_to_check(
    aws: Account, store: DynamoRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    away = DynamoRecords("t")
    with pytest.raises(GenAIStackError, match=r"can't reach the table t: .*; check the AWS region"):
        away.get("c", "a")
    away.close()
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(GenAIStackError, match="check the AWS region"):
        DynamoRecords("t").get("c", "a")
