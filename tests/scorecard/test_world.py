"""The scorecard of the built-in world: its rows, its targets, and that a model which knows everything reaches all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from genai_stack.client.service import AsyncService
from genai_stack.scorecard import world
from genai_stack.scorecard.asking import Answered, Series, ask_all
from genai_stack.training.world.questions import FAMILIES
from tests.scorecard.knowing import CHAT, KnowingHost, api_of


def asked(host: KnowingHost, series: Sequence[Series]) -> list[Answered]:
    async def ask() -> list[Answered]:
        service = AsyncService(endpoint)
        try:
            return await ask_all(service, series)
        finally:
            await service.close()

    host.series = series
    with api_of(host) as endpoint:
        return asyncio.run(ask())


def drawn_up(series: Sequence[Series], answers: Sequence[Answered]) -> world.Card:
    return world.card(CHAT, series, answers, count=2, seed=1, seconds=1.26)


def test_every_family_has_its_marks() -> None:
    assert tuple(world.MARKS) == tuple(FAMILIES)


@pytest.mark.parametrize("family", world.MARKS)
def test_what_is_expected_is_right(family: str) -> None:
    for series in world.series(CHAT, [family], count=60, seed=11):
        assert len(series.questions) == 60
        for question in series.questions:
            for measure, mark in series.marks.items():
                assert mark(question, question.expected), (measure, question)


def test_a_model_that_knows_everything_reaches_everything() -> None:
    series = world.series(CHAT, list(world.MARKS), count=2, seed=5)
    card = drawn_up(series, asked(KnowingHost(), series))
    assert [each.score for each in card.scores] == [1.0] * len(card.scores)
    assert {each.reached for each in card.scores} == {True, None}
    assert sum(each.reached is True for each in card.scores) == len(world.TARGETS)
    assert (card.failed, card.seconds) == (0, 1.3)
    assert card.mapping_rises is False, "what is perfect from the start doesn't rise"


def test_a_model_that_knows_nothing_reaches_nothing() -> None:
    host = KnowingHost()
    series = world.series(CHAT, list(world.MARKS), count=2, seed=5)
    host.wrong = {each.name for each in series}
    card = drawn_up(series, asked(host, series))
    assert [each.score for each in card.scores] == [0.0] * len(card.scores)
    assert sum(each.reached is False for each in card.scores) == len(world.TARGETS)


def test_the_same_seed_asks_the_same() -> None:
    one, same, other = (world.series(CHAT, ["answer", "mapping"], count=3, seed=seed) for seed in (1, 1, 2))
    assert [each.questions for each in one] == [each.questions for each in same]
    assert [each.questions for each in one] != [each.questions for each in other]
    assert [each.name for each in one][:3] == ["answer", "mapping, 0 examples", "mapping, 1 example"]


def answered(series: str, **right: bool) -> Answered:
    return Answered(series, CHAT, "chat", {}, "x", (), "x", right)


@pytest.mark.parametrize(
    ("shares", "rises"),
    [
        ((0, 1, 2, 3, 4), True),
        ((0, 2, 2, 3, 1), True),
        ((0, 1, 0, 3, 4), False),
        ((2, 2, 2, 2, 4), False),
        ((3, 2, 2, 1, 4), False),
    ],
)
def test_a_mapping_rises_from_none_to_four_examples(shares: tuple[int, ...], rises: bool) -> None:
    series = [
        Series(f"mapping, {shots} example{'' if shots == 1 else 's'}", CHAT, [], world.MARKS["mapping"])
        for shots in world.SHOTS
    ]
    answers: list[Any] = [
        answered(each.name, exact=number < right)
        for each, right in zip(series, shares, strict=True)
        for number in range(4)
    ]
    card = drawn_up(series, answers)
    assert card.mapping_rises is rises
    four = card.scores[3]
    assert (four.name, four.right, four.n, four.target, four.reached) == (
        "mapping, 4 examples",
        shares[3],
        4,
        0.8,
        shares[3] >= 4,
    )


def test_a_summary_is_marked_twice() -> None:
    (series,) = world.series(CHAT, ["summarize"], count=2, seed=1)
    marks = {"facts kept": True, "none invented": False}
    card = drawn_up([series], [answered("summarize", **marks), answered("summarize", **marks)])
    assert [(each.name, each.score, each.target, each.reached) for each in card.scores] == [
        ("summarize, facts kept", 1.0, 0.90, True),
        ("summarize, none invented", 0.0, 0.95, False),
    ]
    assert card.mapping_rises is None


def test_held_out_questions_come_to_an_end() -> None:
    """With this seed the pairs of a table's first patients leave none for the last."""
    (series,) = world.series(CHAT, ["answer"], count=120, seed=15)
    assert len(series.questions) == 120
