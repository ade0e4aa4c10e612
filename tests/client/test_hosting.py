"""Models asked directly: answers decoded, refusals raised, streams that must end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from genai_stack import names, sources
from genai_stack.client.hosting import AsyncHosting, Hosting
from genai_stack.client.loop import LoopThread
from genai_stack.client.places import ThisMachine
from genai_stack.config import GateConfig
from genai_stack.errors import (
    Conflict,
    EngineFailed,
    GenAIStackError,
    InvalidModel,
    InvalidSpec,
    NotFound,
    Overloaded,
    RequestError,
)
from genai_stack.ports import JobRequest, ModelVersion, Reply, Services
from tests.client.fakes import make_services
from tests.service.fakes import ANSWERS

GATES = (GateConfig("arc", "acc", "gated", at_least=0.5), GateConfig("wiki", "ppl", "gated", at_most=20.0))


@pytest.fixture
def services(home: Path) -> Services:
    return make_services(home)


@pytest.fixture
def hosting(services: Services, tmp_path: Path) -> Any:
    loop = LoopThread()
    yield Hosting(AsyncHosting(services, ThisMachine(tmp_path / "data"), GATES), loop)
    loop.close()
    loop.close()


def host(services: Services) -> Any:
    return services.models


def test_an_answer_comes_back_decoded(services: Services, hosting: Hosting) -> None:
    assert hosting.invoke("builtin", {"messages": []}) == {"ok": True}
    hosting.invoke("e", {"input": "x"}, route="/v1/embeddings")
    assert host(services).asked == [
        ("builtin", "/v1/chat/completions", {"messages": [], "model": "builtin"}),
        ("e", "/v1/embeddings", {"input": "x", "model": "e"}),
    ]


def test_an_anatomy_comes_back_typed(services: Services, hosting: Hosting) -> None:
    told = ANSWERS["/v1/anatomy"]
    host(services).reply = Reply(200, "application/json", msgspec.json.encode(told))
    found = hosting.anatomy("Hi", model="builtin", heads="mean", top_k=1)
    assert host(services).asked == [
        ("builtin", "/v1/anatomy", {"text": "Hi", "heads": "mean", "top_k": 1, "model": "builtin"})
    ]
    assert found.tokens[0].text == "Hi"
    host(services).reply = Reply(200, "application/json", b'{"object": "list"}')
    with pytest.raises(EngineFailed, match="/v1/anatomy"):
        hosting.anatomy("Hi", model="builtin")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, NotFound), (429, Overloaded), (400, RequestError), (500, EngineFailed), (503, EngineFailed)],
)
def test_a_refusal_is_raised(services: Services, hosting: Hosting, status: int, kind: type[Exception]) -> None:
    body = b'{"error": {"message": "no", "type": "t", "param": "p", "code": "c"}}'
    host(services).reply = Reply(status, "application/json", body)
    host(services).status, host(services).parts = status, [body[:9], body[9:]]
    for call in (lambda: hosting.invoke("m", {}), lambda: list(hosting.stream("m", {}))):
        with pytest.raises(kind) as caught:
            call()
        assert type(caught.value) is kind
        assert (str(caught.value), caught.value.param, caught.value.code) == ("no", "p", "c")


def test_a_refusal_without_a_body_is_one_too(services: Services, hosting: Hosting) -> None:
    host(services).reply = Reply(502, "text/html", b"<html>")
    with pytest.raises(EngineFailed, match="answered 502"):
        hosting.invoke("m", {})


def test_chunks_come_decoded_however_they_were_cut(services: Services, hosting: Hosting) -> None:
    assert list(hosting.stream("m", {"messages": []})) == [{"n": 1}, {"n": 2}]
    assert host(services).asked[0][2] == {"messages": [], "model": "m", "stream": True}
    assert host(services).left == 1


def test_a_stream_must_end(services: Services, hosting: Hosting) -> None:
    host(services).parts = [b'data: {"n": 1}\n\n']
    stream = hosting.stream("m", {})
    assert next(stream) == {"n": 1}
    with pytest.raises(EngineFailed, match="broke off"):
        next(stream)
    host(services).parts = [b'data: {"error": {"message": "the engine died"}}\n\n']
    with pytest.raises(EngineFailed, match="the engine died"):
        list(hosting.stream("m", {}))


def test_leaving_a_stream_early_lets_go_of_it(services: Services, hosting: Hosting) -> None:
    stream = hosting.stream("m", {})
    next(stream)
    assert host(services).left == 0
    stream.close()  # type: ignore[attr-defined]
    assert host(services).left == 1


def test_models_are_deployed_listed_and_deleted(services: Services, hosting: Hosting) -> None:
    hosting.deploy("builtin")
    hosting.deploy("mine", "/models/mine")
    hosting.deploy("tuned", "/adapters/1", base="mine")
    listed = {m.name: m for m in hosting.list()}
    assert list(listed) == ["builtin", "all-minilm-l6-v2", "mine", "tuned"]
    assert [m.live for m in listed.values()] == [True, False, True, True]
    assert listed["mine"].created > 0
    with pytest.raises(Conflict):
        hosting.deploy("mine", "/models/other")
    hosting.delete("tuned")
    assert "tuned" not in host(services).up
    with pytest.raises(NotFound):
        hosting.delete("tuned")
    with pytest.raises(Conflict):
        hosting.delete("builtin")


def test_a_model_that_does_not_come_up_is_forgotten(
    services: Services, hosting: Hosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosting.deploy("old", "/models/old")

    async def broken(model: str) -> None:
        raise EngineFailed("no")

    monkeypatch.setattr(services.models, "deploy", broken)
    for name in ("old", "new"):
        with pytest.raises(EngineFailed):
            hosting.deploy(name, f"/models/{name}")
    assert [m.name for m in hosting.list()] == ["builtin", "all-minilm-l6-v2", "old"]


async def test_the_asynchronous_twin(services: Services, tmp_path: Path) -> None:
    hosting = AsyncHosting(services, ThisMachine(tmp_path))
    services.registry.register(ModelVersion("x", "/x"))
    assert await hosting.invoke("x", {}) == {"ok": True}
    assert [chunk["n"] async for chunk in hosting.stream("x", {})] == [1, 2]
    assert [m.name for m in await hosting.list() if m.live] == []


def test_a_version_is_promoted_and_rolled_back(services: Services, hosting: Hosting) -> None:
    first = hosting.register("mine", "/models/1")
    assert (first.version, first.approval) == (1, "approved")
    assert hosting.register("mine", "/models/2").approval == "pending"
    with pytest.raises(InvalidSpec, match="mine@1"):
        hosting.promote("mine")
    assert hosting.promote("mine@2").source == "/models/2"
    assert host(services).up == ["mine@2"]
    assert [m.version for m in hosting.list() if m.name == "mine"] == [2]
    with pytest.raises(Conflict, match="is live"):
        hosting.delete("mine@2")
    assert hosting.rollback("mine").version == 1
    hosting.delete("mine@2")
    assert [v.version for v in hosting.versions("mine")] == [1]


def test_an_adapter_is_registered_on_the_version_it_runs_on(services: Services, hosting: Hosting) -> None:
    hosting.register("builtin", "/models/1")
    assert hosting.register("a", "/a", base="builtin").parent == "builtin@0"
    named = hosting.register("b", "/b", base="builtin@1")
    assert (named.base, named.parent) == ("builtin", "builtin@1")
    with pytest.raises(Conflict, match="b@1 run on builtin@1"):
        hosting.delete("builtin@1")


def test_a_deployed_adapter_is_on_a_version_and_its_directory_is_absolute(
    services: Services, hosting: Hosting
) -> None:
    hosting.register("builtin", "/models/1")
    for _ in range(2):
        hosting.deploy("a", "here/a", base="builtin@1")
    made = services.registry.get("a")
    assert (made.source, made.base, made.parent) == (str(Path("here/a").absolute()), "builtin", "builtin@1")


def test_what_does_not_come_up_is_not_promoted(
    services: Services, hosting: Hosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosting.register("builtin", "/models/1")

    async def broken(model: str) -> None:
        raise EngineFailed(f"no {model}")

    monkeypatch.setattr(services.models, "deploy", broken)
    with pytest.raises(EngineFailed, match="no builtin@1"):
        hosting.promote("builtin@1")
    assert services.registry.get("builtin").version == 0


def evaluated(services: Services, source: str, out: Path, n: int = 100, **scores: float) -> None:
    """An evaluation of `source` over `n` questions that has found `scores` (task__metric)."""
    jobs: Any = services.jobs
    about = {"model": {"name": "gated@1", "source": source, "adapter": None}}
    job = jobs.submit(JobRequest(f"evaljob-{len(jobs.kept)}", "evaluate", about))
    jobs.finish(job.id, "succeeded")
    out = out / job.id
    out.mkdir()
    jobs.kept[job.id] = msgspec.structs.replace(jobs.kept[job.id], output=str(out))
    told = [
        dict(zip(("task", "metric"), key.split("__"), strict=True), value=v, n=n) for key, v in scores.items()
    ]
    (out / "results.json").write_bytes(msgspec.json.encode({"scores": told}))


def test_a_gate_refuses_with_the_score_and_the_bound(
    services: Services, hosting: Hosting, tmp_path: Path
) -> None:
    hosting.register("gated", "/g/1")
    with pytest.raises(Conflict, match=r"has no arc acc.*genai-stack evaluate gated@1 --tasks arc"):
        hosting.promote("gated@1")
    evaluated(services, "/g/1", tmp_path, arc__acc=0.4, wiki__ppl=10.0)
    evaluated(services, "/other", tmp_path, arc__acc=0.9, wiki__ppl=10.0)
    with pytest.raises(Conflict, match=r"gated@1 has arc acc 0\.4, and its gate asks for at least 0\.5"):
        hosting.promote("gated@1")
    evaluated(services, "/g/1", tmp_path, arc__acc=0.5, wiki__ppl=20.5)
    with pytest.raises(Conflict, match=r"wiki ppl 20\.5, and its gate asks for at most 20"):
        hosting.promote("gated@1")
    evaluated(services, "/g/1", tmp_path, arc__acc=0.5, wiki__ppl=20.0)
    assert hosting.promote("gated@1").version == 1


def test_a_score_over_too_few_questions_passes_no_gate_and_hides_none(
    services: Services, hosting: Hosting, tmp_path: Path
) -> None:
    hosting.register("gated", "/g/1")
    evaluated(services, "/g/1", tmp_path, n=1, arc__acc=1.0, wiki__ppl=1.0)
    evaluated(services, "/g/1", tmp_path, n=99, arc__acc=1.0, wiki__ppl=1.0)
    with pytest.raises(
        Conflict, match=r"arc acc over 99 questions at the most, and its gate asks for one over 100"
    ):
        hosting.promote("gated@1")
    evaluated(services, "/g/1", tmp_path, n=100, arc__acc=0.6, wiki__ppl=15.0)
    evaluated(services, "/g/1", tmp_path, n=1, arc__acc=0.0, wiki__ppl=99.0)
    assert hosting.promote("gated@1").version == 1


def model_in(directory: Path, weights: bytes = b"\0") -> Path:
    directory.mkdir(parents=True)
    header = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    (directory / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + weights)
    (directory / "config.json").write_text("{}")
    (directory / "notes.py").write_text("print('never brought')")
    return directory


def test_an_import_is_addressed_by_its_content_and_goes_on(
    hosting: Hosting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, told, place = model_in(tmp_path / "m"), [], ThisMachine(tmp_path / "data")
    real = ThisMachine.store

    def broken(self: ThisMachine, key: str, data: Any) -> None:
        if key.endswith(".safetensors"):
            raise GenAIStackError("the disk is full")
        real(self, key, data)

    monkeypatch.setattr(ThisMachine, "store", broken)
    with pytest.raises(GenAIStackError, match="full"):
        hosting.import_(str(source))
    monkeypatch.setattr(ThisMachine, "store", real)
    made = hosting.import_(str(source), told=lambda done, of: told.append((done, of)))
    assert (made.name, made.version, made.origin) == ("m", 1, str(source))
    assert told[-1][0] == told[-1][1] == sum(f.stat().st_size for f in source.iterdir() if f.suffix != ".py")
    assert made.source == place.address(names.imported(str(made.digest)))
    assert {p.name for p in Path(made.source).iterdir()} == {
        "config.json",
        "model.safetensors",
        "manifest.json",
    }
    assert hosting.import_(str(source)) == made
    other = hosting.import_(str(model_in(tmp_path / "n", b"\1")), "m")
    assert (other.version, other.source == made.source) == (2, False)


def test_a_pickle_is_not_brought(hosting: Hosting, tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\4.")
    with pytest.raises(InvalidModel, match="pickled"):
        hosting.import_(str(tmp_path))


def test_a_branch_is_pinned_to_its_commit(
    hosting: Hosting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, asked = "0" * 40, []

    def snapshot(repo: str, revision: str, patterns: Any, kind: str) -> Path:
        asked.append((repo, revision))
        return tmp_path / "m"

    model_in(tmp_path / "m")
    monkeypatch.setattr(sources, "commit", lambda repo, revision, kind: at)
    monkeypatch.setattr(sources, "snapshot", snapshot)
    made = hosting.import_("hf://org/name@main")
    assert (made.name, made.origin, asked) == ("name", f"hf://org/name@{at}", [("org/name", at)])
