"""What the evaluation asks never occurs in training: no name, no wording, no combination."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from genai_stack.training.world import mappings
from genai_stack.training.world.corpus import examples
from genai_stack.training.world.names import Draw, is_heldout
from genai_stack.training.world.questions import FAMILIES, Question, questions

TRAINING, EACH = 3000, 300


class Drawn:
    """What was drawn: names, wordings, combinations of words."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.wordings: set[Any] = set()
        self.pairs: set[tuple[str, str]] = set()


@contextmanager
def recorded() -> Iterator[Drawn]:
    drawn = Drawn()
    named, wording, pair = Draw._named, Draw.wording, Draw.has_pair

    def record_named(self: Draw, *args: Any) -> str:
        name = named(self, *args)
        drawn.names.add(name)
        return name

    def record_wording(self: Draw, wordings: Any) -> Any:
        chosen = wording(self, wordings)
        drawn.wordings.add(chosen)
        return chosen

    def record_pair(self: Draw, first: str, second: str) -> bool:
        ours = pair(self, first, second)
        if ours:
            drawn.pairs.add((first, second))
        return ours

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Draw, "_named", record_named)
        patch.setattr(Draw, "wording", record_wording)
        patch.setattr(Draw, "has_pair", record_pair)
        yield drawn


@pytest.fixture(scope="module")
def training() -> tuple[list[dict[str, Any]], Drawn]:
    with recorded() as drawn:
        return list(examples(31, TRAINING, texts=True, joined=0.1)), drawn


@pytest.fixture(scope="module")
def heldout() -> tuple[dict[str, list[Question]], Drawn]:
    with recorded() as drawn:
        return {family: list(questions(family, 32, EACH)) for family in FAMILIES}, drawn


def turns(corpus: list[dict[str, Any]]) -> list[str]:
    """Every turn and text, whole."""
    found = [example["text"] for example in corpus if "text" in example]
    return found + [str(turn["content"]) for example in corpus for turn in example.get("messages", ())]


def test_no_name_wording_or_combination_is_drawn_for_both(training: Any, heldout: Any) -> None:
    for trained, held in (
        (training[1].names, heldout[1].names),
        (training[1].wordings, heldout[1].wordings),
        (training[1].pairs, heldout[1].pairs),
    ):
        assert len(trained) > 100
        assert len(held) > 100
        assert not trained & held


def test_no_heldout_name_stands_in_a_training_text(training: Any, heldout: Any) -> None:
    words = set(re.findall(r"\w+", "\n".join(turns(training[0]))))
    names = heldout[1].names
    assert all(is_heldout(name) for name in names)
    assert not names & words
    assert training[1].names & words, "or nothing would be found"


def skeleton(wording: str) -> str:
    """A pattern for the wording with anything in its places."""
    pieces = re.split(r"\{\w+\}|\{\}", wording)
    return r"[^\n]{1,60}?".join(map(re.escape, pieces))


def sentences(texts: list[str]) -> set[str]:
    """Sentences and lines, without the speaker's name at their head."""
    found = {part for text in texts for line in text.splitlines() for part in re.split(r"(?<=[.!?]) ", line)}
    return found | {part.split(": ", 1)[1] for part in found if ": " in part}


def test_no_heldout_wording_stands_in_a_training_text(training: Any, heldout: Any) -> None:
    told = "\n".join(sorted(sentences(turns(training[0]))))
    held = [w for w in heldout[1].wordings if isinstance(w, str) and "\n" not in w and "{p}" not in w]
    assert len(held) > 150
    found = [wording for wording in held if re.search(f"(?m)^{skeleton(wording)}$", told)]
    assert found == []
    trained = [w for w in training[1].wordings if isinstance(w, str) and "\n" not in w and "{p}" not in w]
    seen = [w for w in trained if re.search(f"(?m)^{skeleton(w)}$", told)]
    assert len(seen) > 0.8 * len(trained), "or nothing would be found"


def test_no_heldout_passage_or_question_stands_in_a_training_text(training: Any, heldout: Any) -> None:
    told = {text for text in turns(training[0])}
    for family in ("answer", "unstated", "classify", "translate", "summarize", "extract"):
        for question in heldout[0][family]:
            assert question.passage not in told, question.passage
    for question in heldout[0]["explain"]:
        assert question.body["messages"][0]["content"] not in told


def test_no_heldout_mapping_pair_stands_in_a_training_text(training: Any, heldout: Any) -> None:
    lines = {line for text in turns(training[0]) for line in text.splitlines()}
    assert any(arrow in line for arrow in mappings.ARROWS for line in lines)
    for question in heldout[0]["mapping"]:
        for arrow in mappings.ARROWS:
            assert f"{question.passage}{arrow}{question.expected}" not in lines


def test_every_family_has_questions_that_differ(heldout: Any) -> None:
    for family, asked in heldout[0].items():
        assert len(asked) == EACH
        bodies = {json.dumps(question.body, sort_keys=True) for question in asked}
        assert len(bodies) > (20 if family == "explain" else 0.8 * EACH), family
