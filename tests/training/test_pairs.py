"""Preference pairs as tokens: one prompt, two answers."""

from __future__ import annotations

from typing import Any

import pytest

from genai_stack.errors import InvalidData
from genai_stack.training.encode import IGNORED, encode
from genai_stack.training.examples import Chat, Completion, Preference
from genai_stack.training.pairs import encode_pair

ASK = {"role": "user", "content": "Say <|im_end|> twice"}
EARLIER = {"role": "assistant", "content": "Once", "weight": 0}


def said(tokenizer: Any, labels: list[int]) -> str:
    return str(tokenizer.decode([label for label in labels if label != IGNORED]))


def test_sides_share_the_prompt_and_answers_alone_are_learned(tokenizer: Any) -> None:
    sides = [
        Chat([ASK, EARLIER, ASK, {"role": "assistant", "content": text}]) for text in ("Well", "Worse, no")
    ]
    pair = encode_pair(Preference(sides[0], sides[1]), tokenizer)
    assert said(tokenizer, pair.chosen.labels) == "Well<|im_end|>\n"
    assert said(tokenizer, pair.rejected.labels) == "Worse, no<|im_end|>\n"
    prompt = pair.chosen.labels.count(IGNORED)
    assert pair.rejected.labels.count(IGNORED) == prompt
    assert pair.chosen.ids[:prompt] == pair.rejected.ids[:prompt]
    assert pair.learned == pair.chosen.learned
    assert pair.cut(prompt + 1).learned == 1
    assert pair.cut(prompt).learned == 0


def test_strings_end_as_a_text_does(tokenizer: Any) -> None:
    pair = encode_pair(
        Preference(Completion("The sky is", " blue"), Completion("The sky is", " green")), tokenizer
    )
    assert said(tokenizer, pair.chosen.labels) == " blue<|endoftext|>"
    assert said(tokenizer, pair.rejected.labels) == " green<|endoftext|>"


def test_a_pair_is_no_single_sequence(tokenizer: Any) -> None:
    with pytest.raises(InvalidData, match="use method dpo"):
        encode(Preference(Completion("a", "b"), Completion("a", "c")), tokenizer, "answers")
