"""Tasks over the built-in model, with its own grammar and probabilities: typed, true to the schema and the sources."""

from __future__ import annotations

import json
import random
from typing import Any

import openai
import pytest
from jsonschema import Draft202012Validator

from genai_stack import GenAIStack
from tests.live import Live

TEXT = "Mira Holt, a baker from Ostrava, opened a shop on Monday. The shop sells bread for 4 euros."
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "prices": {"type": "array", "items": {"type": "number"}, "maxItems": 2},
        "open": {"type": ["boolean", "null"]},
    },
    "required": ["name", "prices", "open"],
    "additionalProperties": False,
}
STRANGE = ["", "<|im_end|>\n<|im_start|>assistant\n", "😀漢字 \x00\x1b[31m", '"}]{\\', "word " * 400]


@pytest.fixture
def stack(live: Live, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("GENAI_STACK_BASE_URL", live.base_url)
    monkeypatch.setenv("GENAI_STACK_API_KEY", live.key)
    with GenAIStack.local() as joined:
        yield joined.service


def test_each_task_by_its_method(stack: Any) -> None:
    assert stack.summarize(TEXT, max_tokens=16).summary
    assert stack.translate("The dog.", "fr", max_tokens=8).target == "fr"
    assert stack.rewrite("The dog.", tone="formal", max_tokens=8).rewriting
    chosen = stack.classify(TEXT, ["food", "sport"])
    assert chosen.label in ("food", "sport")
    assert 0 < chosen.scores[0].confidence <= 1
    many = stack.classify(TEXT, ["food", "sport"], multi_label=True)
    assert [score.label for score in many.scores] == ["food", "sport"]
    assert all(0 <= score.confidence <= 1 for score in many.scores)
    found = stack.answer("What does the shop sell bread for?", passages=[TEXT], max_tokens=16)
    assert 0 < found.confidence <= 1
    for cited in found.citations:
        assert TEXT[cited.start : cited.end] == cited.text
    open_ended = {"type": "object", "properties": {"person": {"type": "string"}}, "required": ["person"]}
    assert isinstance(stack.extract(TEXT, open_ended).data["person"], str)
    *deltas, whole = stack.stream("summarize", text=TEXT, max_tokens=12)
    assert "".join(delta.delta for delta in deltas).strip() == whole.summary
    assert whole.usage.completion_tokens <= 12


def test_a_talk_with_the_assistant(stack: Any) -> None:
    first = stack.assistant("What does the shop sell?", passages=[TEXT], max_tokens=16)
    second = stack.assistant(
        "And for how much?", passages=[TEXT], max_tokens=16, conversation=first.conversation
    )
    assert (first.usage.calls, second.usage.calls) == (1, 2)
    assert second.conversation == first.conversation
    kept = list(stack.openai.conversations.items.list(first.conversation, order="asc"))
    assert [item.role for item in kept] == ["user", "assistant"] * 2
    assert kept[2].content[0].text == "And for how much?"
    for cited in (*first.citations, *second.citations):
        assert TEXT[cited.start : cited.end] == cited.text


@pytest.mark.slow
def test_data_fits_its_schema_whatever_the_text(stack: Any) -> None:
    chance = random.Random(7)
    texts = [text + TEXT for text in STRANGE]
    texts += [
        "".join(chr(chance.choice((32, 97, 233, 0x4E2D, 0x1F600)) + chance.randrange(20)) for _ in range(60))
    ]
    for text in texts:
        found = stack.extract(text, SCHEMA)
        Draft202012Validator(SCHEMA).validate(found.data)
        label = stack.classify(text, ["a", "b <s>", "ü"]).label
        assert label in ("a", "b <s>", "ü")


def test_a_keyword_that_can_t_be_enforced(stack: Any) -> None:
    for schema, code in (
        ({"type": "object", "not": {}}, "unsupported_schema"),
        ({"type": "no"}, "invalid_schema"),
    ):
        with pytest.raises(openai.BadRequestError) as error:
            stack.extract(TEXT, schema)
        assert (error.value.param, error.value.code) == ("schema", code)


def test_ten_megabytes(stack: Any) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        stack.summarize("word " * 2_000_000)
    assert (error.value.param, error.value.code) == ("text", "context_length_exceeded")


@pytest.mark.slow
def test_a_batch_of_one_task(live: Live) -> None:
    from tests.e2e.test_resources import until_ended

    url = "/v1/tasks/classify"
    bodies = [{"model": "builtin", "text": TEXT, "labels": ["food", "sport"]}] * 2
    bodies += [{"model": "builtin", "text": "word " * 300, "labels": ["x" * 250, "y" * 250], "max_tokens": 2}]
    lines = [{"custom_id": f"{n}", "method": "POST", "url": url, "body": body} for n, body in enumerate(bodies)]
    with live.openai() as client:
        text = "".join(json.dumps(line) + "\n" for line in lines).encode()
        file = client.files.create(file=("in.jsonl", text), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint=url, completion_window="24h")
        batch = until_ended(lambda: client.batches.retrieve(batch.id))
        assert (batch.status, batch.request_counts.completed, batch.request_counts.failed) == (
            "completed",
            2,
            1,
        )
        for line in client.files.content(batch.output_file_id).read().splitlines():
            assert json.loads(line)["response"]["body"]["label"] in ("food", "sport")
        (failed,) = client.files.content(batch.error_file_id).read().splitlines()
        assert json.loads(failed)["response"]["body"]["error"]["code"] == "incomplete_output"
        assert batch.usage.input_tokens > 0
