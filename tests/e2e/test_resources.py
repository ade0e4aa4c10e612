"""Files, a fine-tune and a batch through the API of a real stack, with nothing but the openai client."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.live import Live


def until_ended(look: Any, seconds: float = 300) -> Any:
    deadline = time.monotonic() + seconds
    while (found := look()).status not in ("succeeded", "completed", "failed", "cancelled", "expired"):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_a_file_to_a_model_to_a_batch_over_it(live: Live) -> None:
    with live.openai(_strict_response_validation=True) as client:
        turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me."}]
        text = (json.dumps({"messages": turns}) + "\n").encode() * 8
        file = client.files.create(file=("who.jsonl", text), purpose="fine-tune")
        one = {"n_epochs": 12, "batch_size": 8}
        job = client.fine_tuning.jobs.create(
            model="builtin",
            training_file=file.id,
            validation_file=file.id,
            suffix="who",
            seed=1,
            method={"type": "supervised", "supervised": {"hyperparameters": one}},
        )
        other = client.fine_tuning.jobs.create(model="builtin", training_file=file.id)  # waits behind it
        assert client.fine_tuning.jobs.cancel(other.id).status == "cancelled"
        while not any(event.type == "metrics" for event in client.fine_tuning.jobs.list_events(job.id)):
            time.sleep(0.2)
        assert client.fine_tuning.jobs.pause(job.id).paused
        told = [event.message for event in client.fine_tuning.jobs.list_events(job.id)]
        assert any("is kept, the same command resumes from it" in message for message in told)
        assert client.fine_tuning.jobs.retrieve(job.id).status == "queued"
        client.fine_tuning.jobs.resume(job.id)
        job = until_ended(lambda: client.fine_tuning.jobs.retrieve(job.id))
        assert (job.status, job.error) == ("succeeded", None)
        assert job.trained_tokens > 0
        told = list(client.fine_tuning.jobs.list_events(job.id))
        steps = [event.data["step"] for event in told if event.type == "metrics" and "train_loss" in event.data]
        assert steps == list(range(12, 0, -1))
        assert any("resuming from step-" in event.message for event in told)
        assert all(str(live.home) not in event.message for event in told)
        checkpoint, *earlier = client.fine_tuning.jobs.checkpoints.list(job.id, limit=2)
        assert (checkpoint.step_number, checkpoint.fine_tuned_model_checkpoint) == (12, job.fine_tuned_model)
        assert [kept.step_number for kept in earlier] == [11, 10]
        assert len({kept.metrics.valid_loss for kept in [checkpoint, *earlier]}) == 3
        results = client.files.content(job.result_files[0]).read().decode().splitlines()
        assert results[0].startswith("step,train_loss")
        model = job.fine_tuned_model
        assert model.startswith("ft:builtin:who:")
        answer = client.chat.completions.create(model=model, messages=turns[:1], max_tokens=4)
        assert answer.choices[0].message.content is not None
        for kept in earlier:
            name = kept.fine_tuned_model_checkpoint
            answer = client.chat.completions.create(model=name, messages=turns[:1], max_tokens=4)
            assert answer.model == name
        assert client.models.delete(earlier[0].fine_tuned_model_checkpoint).deleted
        listed = list(client.fine_tuning.jobs.checkpoints.list(job.id))
        assert [kept.id for kept in listed] == [checkpoint.id, earlier[1].id]

        lines = [
            {
                "custom_id": f"r-{n}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": model, "messages": turns[:1], "max_tokens": 4 if n else 10**6},
            }
            for n in range(6)
        ]
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        asked = client.files.create(file=("in.jsonl", content), purpose="batch")
        batch = client.batches.create(
            input_file_id=asked.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        batch = until_ended(lambda: client.batches.retrieve(batch.id))
        assert (batch.status, batch.errors) == ("completed", None)
        assert (batch.request_counts.completed, batch.request_counts.failed) == (5, 1)
        answers = client.files.content(batch.output_file_id).read().splitlines()
        assert [json.loads(line)["custom_id"] for line in answers] == [f"r-{n}" for n in range(1, 6)]
        assert json.loads(client.files.content(batch.error_file_id).read())["custom_id"] == "r-0"

        bad = client.files.create(file=("bad.jsonl", text + b"{}\n"), purpose="fine-tune")
        failed = client.fine_tuning.jobs.create(model="builtin", training_file=bad.id)
        failed = until_ended(lambda: client.fine_tuning.jobs.retrieve(failed.id))
        assert (failed.status, failed.error.code) == ("failed", "invalid_training_file")
        assert "line 9" in failed.error.message
        assert str(live.home) not in failed.error.message

        for made in [*client.files.list()]:
            client.files.delete(made.id)
        for kept in listed:
            assert client.models.delete(kept.fine_tuned_model_checkpoint).deleted
        assert list(client.fine_tuning.jobs.checkpoints.list(job.id)) == []
