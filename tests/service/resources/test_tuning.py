"""/v1/fine_tuning/jobs, driven by the openai client with strict validation; the job behind each is moved by hand."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import openai
import pytest

from genai_stack.errors import GenAIStackError
from genai_stack.ports import ModelVersion
from genai_stack.registry import base_of
from genai_stack.training.spec import parse
from tests.service.conftest import MASTER, assert_problem
from tests.service.fakes import CHAT
from tests.service.resources.conftest import Stack


def uploaded(client: openai.OpenAI, purpose: Any = "fine-tune") -> str:
    return client.files.create(file=("who.jsonl", b"{}\n"), purpose=purpose).id


def begun(client: openai.OpenAI, **more: Any) -> Any:
    asked: Any = {"model": CHAT, "training_file": uploaded(client), **more}
    return client.fine_tuning.jobs.create(**asked)


def test_a_job_from_end_to_end(stack: Stack, client: openai.OpenAI) -> None:
    held = uploaded(client)
    job = begun(client, validation_file=held, suffix="who", seed=7, metadata={"for": "me"})
    assert (job.status, job.seed, job.metadata, job.fine_tuned_model) == ("queued", 7, {"for": "me"}, None)
    assert (job.hyperparameters.n_epochs, job.method.type) == ("auto", "supervised")
    request = stack.jobs.requests[job.id]
    spec = parse({**request.spec, "output": "out"})
    assert (spec.method, spec.seed, spec.name, spec.base) == ("lora", 7, "who", "builtin")
    assert Path(spec.data.train).read_bytes() == b"{}\n"
    assert spec.data.validation
    assert request.on_success is not None
    assert (request.on_success.base, request.on_success.job) == (CHAT, job.id)
    assert request.on_success.data == hashlib.sha256(b"{}\n").hexdigest()
    stack.jobs.move(job.id, "running")
    events, metrics = stack.jobs.told[job.id]
    now = time.time()
    events.append({"time": now, "level": "info", "type": "started", "message": f"reads {spec.data.train}"})
    metrics.append({"time": now + 60, "step": 1, "total_steps": 4, "loss": 2.5, "learning_rate": 1e-4})
    metrics.append({"time": now + 90, "step": 1, "total_steps": 4, "validation_loss": 2.25})
    running = client.fine_tuning.jobs.retrieve(job.id)
    assert running.status == "running"
    assert running.estimated_finish is not None
    told = list(client.fine_tuning.jobs.list_events(job.id, limit=1))
    assert [event.type for event in told] == ["metrics", "metrics", "message", "message"]
    assert told[2].message == f"reads {job.training_file}"
    data: Any = told[1].data
    assert (data["step"], data["train_loss"]) == (1, 2.5)
    assert told[1].message == "Step 1/4: training loss=2.5000"
    assert client.fine_tuning.jobs.checkpoints.list(job.id).data == []
    events.append({"time": now + 95, "level": "info", "type": "kept", "message": "kept", "step": 2})
    metrics.append({"time": now + 95, "step": 4, "total_steps": 4, "loss": 0.5, "learning_rate": 1e-4})
    model = stack.services.registry.register(
        ModelVersion(request.on_success.name, "out", base=CHAT, job=job.id)
    )
    events.append({"time": now + 99, "level": "info", "type": "succeeded", "message": "done", "tokens": 99})
    stack.jobs.move(job.id, "succeeded", model=model.name)
    done = client.fine_tuning.jobs.retrieve(job.id)
    assert (done.status, done.trained_tokens, done.fine_tuned_model) == ("succeeded", 99, model.name)
    assert client.files.content(done.result_files[0]).read().splitlines()[1] == b"1,2.5,,0.0001,"
    checkpoint, kept = client.fine_tuning.jobs.checkpoints.list(job.id, limit=1)
    assert (checkpoint.step_number, checkpoint.metrics.train_loss) == (4, 0.5)
    assert (kept.step_number, kept.metrics.train_loss, kept.metrics.valid_loss) == (2, 2.5, 2.25)
    assert kept.fine_tuned_model_checkpoint == f"{model.name}:ckpt-step-2"
    version = stack.services.registry.get(kept.fine_tuned_model_checkpoint)
    assert (version.source, version.base, version.parent) == ("out/kept/step-2", CHAT, f"{CHAT}@0")
    assert version.data == request.on_success.data
    answer = client.chat.completions.create(model=model.name, messages=[{"role": "user", "content": "Who?"}])
    assert answer.choices[0].message.content
    assert client.fine_tuning.jobs.retrieve(job.id) == done
    with pytest.raises(openai.ConflictError):
        client.fine_tuning.jobs.cancel(job.id)
    assert client.models.delete(model.name).deleted
    assert client.fine_tuning.jobs.checkpoints.list(job.id).data == [kept]
    assert client.models.delete(version.name).deleted
    assert client.fine_tuning.jobs.checkpoints.list(job.id).data == []
    assert client.fine_tuning.jobs.retrieve(job.id) == done


def test_a_tune_runs_on_the_version_it_began_from(stack: Stack, client: openai.OpenAI) -> None:
    registry = stack.services.registry
    job = begun(client)
    later = registry.register(ModelVersion(CHAT, "later", job="another"))
    registry.promote(CHAT, later.version)
    try:
        made = stack.jobs.requests[job.id].on_success
        assert made is not None
        assert made.parent == f"{CHAT}@0"
        assert base_of(registry, made).source == "builtin"
        assert stack.jobs.requests[begun(client).id].spec["base"] == "later"
    finally:
        registry.rollback(CHAT)


def test_dpo_and_its_hyperparameters(stack: Stack, client: openai.OpenAI) -> None:
    given = {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 3, "beta": 0.5}
    job = begun(client, method={"type": "dpo", "dpo": {"hyperparameters": given}})
    spec = parse({**stack.jobs.requests[job.id].spec, "output": "out"})
    told = spec.hyperparameters
    assert (spec.method, told.epochs, told.batch_size, told.dpo_beta) == ("dpo", 2, 4, 0.5)
    assert spec.learning_rate == pytest.approx(6e-5)
    assert job.method.dpo.hyperparameters.beta == 0.5
    old = begun(client, hyperparameters={"n_epochs": 5, "learning_rate_multiplier": "auto"})
    assert stack.jobs.requests[old.id].spec["hyperparameters"] == {"epochs": 5}


async def test_asynchronous_and_raw(stack: Stack, client: openai.OpenAI) -> None:
    file = uploaded(client)
    async with openai.AsyncOpenAI(
        base_url=stack.api.base_url, api_key=MASTER, max_retries=0, _strict_response_validation=True
    ) as asynchronous:
        jobs = asynchronous.fine_tuning.jobs
        job = (await jobs.with_raw_response.create(model=CHAT, training_file=file)).parse()
        assert job.id in [j.id async for j in await jobs.list(limit=2)]
        assert len([event async for event in await jobs.list_events(job.id)]) == 1
        assert (await jobs.checkpoints.list(job.id)).data == []
        assert (await jobs.pause(job.id)).status == "queued"
        assert (await jobs.with_raw_response.resume(job.id)).parse().status == "queued"
        assert (await jobs.cancel(job.id)).status == "cancelled"


def test_lists_filter_by_metadata(client: openai.OpenAI) -> None:
    mine = begun(client, metadata={"team": "x"}).id
    none = begun(client).id
    jobs = client.fine_tuning.jobs
    assert [job.id for job in jobs.list(metadata={"team": "x"})] == [mine]
    found = [job.id for job in jobs.list(extra_query={"metadata": "null"})]
    assert none in found
    assert mine not in found


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": "nope"}, "model"),
        ({"model": "embed-1"}, "model"),
        ({"training_file": "file-x"}, "training_file"),
        ({"validation_file": "../../etc/passwd"}, "validation_file"),
        ({"suffix": "a\r\nb"}, "suffix"),
        ({"suffix": "../x"}, "suffix"),
        ({"seed": -1}, "seed"),
        ({"method": {"type": "reinforcement"}}, "method.type"),
        ({"method": {"type": "dpo", "supervised": {}}}, "method.supervised"),
        ({"method": {"type": "supervised", "dpo": {}}}, "method.dpo"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"lora_rank": 4}}, "hyperparameters.lora_rank"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations"),
        ({"color": "red"}, "color"),
    ],
)
def test_requests_that_are_none(
    stack: Stack, client: openai.OpenAI, change: dict[str, Any], param: str
) -> None:
    good = {"model": CHAT, "training_file": uploaded(client)}
    before = len(stack.jobs.jobs)
    assert_problem(stack.api.post("/v1/fine_tuning/jobs", {**good, **change}), param=param)
    assert len(stack.jobs.jobs) == before


def test_a_file_of_another_purpose_or_tenant(stack: Stack, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        begun(client, training_file=uploaded(client, "batch"))
    asked = {"model": CHAT, "training_file": uploaded(client)}
    path, job = "/v1/fine_tuning/jobs", begun(client)
    assert_problem(stack.api.call("POST", path, asked, key=stack.other), 404, param="training_file")
    for method, under in (
        ("GET", ""),
        ("POST", "/cancel"),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("GET", "/events"),
        ("GET", "/checkpoints"),
    ):
        foreign = stack.api.call(method, f"{path}/{job.id}{under}", key=stack.other)
        assert assert_problem(foreign, 404)["code"] == "not_found"
    assert_problem(stack.api.get(f"{path}/{job.id}/events?after=ftevent-x"), 400, param="after")


def test_data_that_is_faulty_is_told_on_the_job(stack: Stack, client: openai.OpenAI) -> None:
    job = begun(client)
    address = stack.jobs.requests[job.id].spec["data"]["train"]
    stack.jobs.move(job.id, "running")
    stack.jobs.told[job.id][0].append({"type": "invalid", "level": "error", "message": "m"})
    stack.jobs.move(job.id, "failed", error=f"{address}: 1 faulty line\n  line 1: no")
    failed = client.fine_tuning.jobs.retrieve(job.id)
    assert failed.error is not None
    assert (failed.error.code, failed.error.param) == ("invalid_training_file", "training_file")
    assert failed.error.message == f"{job.training_file}: 1 faulty line\n  line 1: no"


def test_cancel_is_final_and_frees_the_files(stack: Stack, client: openai.OpenAI) -> None:
    job = begun(client)
    with pytest.raises(openai.ConflictError):
        client.files.delete(job.training_file)
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    assert stack.jobs.jobs[job.id].state == "cancelled"
    stack.jobs.move(job.id, "succeeded", model="x")
    again = client.fine_tuning.jobs.cancel(job.id)
    assert (again.status, again.fine_tuned_model) == ("cancelled", None)
    assert client.files.delete(job.training_file).deleted
    stack.jobs.failure = GenAIStackError("the queue is away")
    other = begun(client)
    assert other.status == "validating_files"
    assert client.fine_tuning.jobs.cancel(other.id).status == "cancelled"


def test_a_pause_holds_the_job_until_it_is_resumed(stack: Stack, client: openai.OpenAI) -> None:
    jobs, job = client.fine_tuning.jobs, begun(client)
    stack.jobs.move(job.id, "running")
    assert jobs.retrieve(job.id).status == "running"
    held: Any = jobs.pause(job.id)
    assert (held.status, held.paused, held.finished_at, held.estimated_finish) == ("queued", True, None, None)
    assert stack.jobs.jobs[job.id].state == "paused"
    assert jobs.pause(job.id) == held == jobs.retrieve(job.id)
    with pytest.raises(openai.ConflictError):
        client.files.delete(job.training_file)
    going: Any = jobs.resume(job.id)
    assert (going.status, going.paused, stack.jobs.jobs[job.id].state) == ("queued", False, "queued")
    stack.jobs.move(job.id, "running")
    assert jobs.resume(job.id).status == "running"
    jobs.pause(job.id)
    assert jobs.cancel(job.id).status == "cancelled"
    assert stack.jobs.jobs[job.id].state == "cancelled"
    for order in (jobs.pause, jobs.resume):
        with pytest.raises(openai.ConflictError):
            order(job.id)


def test_a_resume_that_comes_before_the_pause_is_done_takes_effect_after_it(
    stack: Stack, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a stage, where the machine's work takes a while to end."""
    jobs, job = client.fine_tuning.jobs, begun(client)
    stack.jobs.move(job.id, "running")
    pause = stack.jobs.pause
    with monkeypatch.context() as slow:
        slow.setattr(stack.jobs, "pause", stack.jobs.get)
        on_its_way: Any = jobs.pause(job.id)
        assert (on_its_way.status, on_its_way.paused) == ("running", False)
        assert jobs.resume(job.id).status == "running"
    pause(job.id)
    assert jobs.retrieve(job.id).status == "running"
    assert stack.jobs.jobs[job.id].state == "queued"
    pause(job.id)  # by somebody else, past the API
    held: Any = jobs.retrieve(job.id)
    assert (held.status, held.paused) == ("queued", True)
    assert jobs.resume(job.id).status == "queued"
    assert stack.jobs.jobs[job.id].state == "queued"
    jobs.cancel(job.id)


def test_a_pause_before_the_queue_knows_the_job(stack: Stack, client: openai.OpenAI) -> None:
    stack.jobs.failure = GenAIStackError("the queue is away")
    job = begun(client)
    held: Any = client.fine_tuning.jobs.pause(job.id)
    assert held.paused
    assert job.id not in stack.jobs.jobs
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"
    assert stack.jobs.jobs[job.id].state == "queued"


def test_a_job_that_was_paused_before_the_queue_knew_it_can_be_cancelled(
    stack: Stack, client: openai.OpenAI
) -> None:
    stack.jobs.failure = GenAIStackError("the queue is away")
    job = begun(client)
    client.fine_tuning.jobs.pause(job.id)
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    assert client.files.delete(job.training_file).deleted


def test_a_create_sent_again_has_one_effect(client: openai.OpenAI) -> None:
    asked: Any = {"training_file": uploaded(client), "extra_headers": {"Idempotency-Key": "job-1"}}
    first, again = begun(client, **asked), begun(client, **asked)
    assert (first.id, first.seed) == (again.id, again.seed)
    with pytest.raises(openai.ConflictError):
        begun(client, **asked, seed=3)
