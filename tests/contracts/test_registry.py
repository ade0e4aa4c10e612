"""ModelRegistry: what every adapter owes."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from genai_stack.errors import Conflict, NotFound, RequestError
from genai_stack.local.records import SqliteRecords
from genai_stack.ports import ModelRegistry, ModelVersion
from genai_stack.registry import COLLECTION, DEFAULTS, RecordedModels, base_of, pick, split
from tests.contracts.adapters import RECORDS, REGISTRIES

TUNED = ModelVersion(
    "ft:builtin:shop:1", "/models/1/adapter", base="builtin", job="ftjob-1", data="d", parent="p@1"
)


@pytest.fixture(params=REGISTRIES)
def adapter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def registry(adapter: str, tmp_path: Path) -> ModelRegistry:
    return REGISTRIES[adapter](tmp_path)


def test_the_configured_models_are_there(registry: ModelRegistry) -> None:
    assert [(v.name, v.source, v.task) for v in registry.list()] == [
        ("builtin", "builtin", "chat"),
        ("all-minilm-l6-v2", "minilm", "embedding"),
    ]
    assert registry.get("builtin").base is None
    assert [v.version for v in registry.versions("builtin")] == [0]


def test_register_again_and_otherwise(registry: ModelRegistry) -> None:
    made = registry.register(TUNED)
    assert (made.version, made.approval) == (1, "approved")
    assert made.created > 0
    assert msgspec.structs.replace(made, created=0.0, version=0, approval="pending") == TUNED
    assert registry.register(TUNED) == made == registry.get(TUNED.name)
    second = registry.register(msgspec.structs.replace(TUNED, source="/elsewhere"))
    assert (second.version, second.approval) == (2, "pending")
    assert registry.get(TUNED.name) == made
    assert registry.register(ModelVersion("builtin", "builtin")) == registry.get("builtin")
    mine = registry.register(ModelVersion("builtin", "/mine"))
    assert (mine.version, registry.get("builtin").version) == (1, 0)
    assert registry.versions("builtin") == [registry.get("builtin"), mine]


def test_promotion_and_back(registry: ModelRegistry) -> None:
    for source in ("/1", "/2", "/3"):
        registry.register(ModelVersion("mine", source))
    with pytest.raises(Conflict, match="before this one"):
        registry.rollback("mine")
    assert registry.promote("mine", 3).approval == "approved"
    assert registry.promote("mine", 2) == registry.promote("mine", 2) == registry.get("mine")
    assert [v.version for v in registry.list() if v.name == "mine"] == [2]
    assert registry.rollback("mine").version == 3
    assert registry.rollback("mine").version == 1
    with pytest.raises(Conflict):
        registry.rollback("mine")
    with pytest.raises(NotFound, match="no version 9, but 1, 2, 3"):
        registry.promote("mine", 9)


def test_a_promotion_goes_before_the_configuration(registry: ModelRegistry) -> None:
    registry.register(ModelVersion("builtin", "/mine"))
    registry.promote("builtin", 1)
    assert registry.get("builtin").source == registry.list()[0].source == "/mine"
    with pytest.raises(Conflict, match="is live"):
        registry.delete("builtin", 1)
    assert registry.rollback("builtin").source == "builtin"
    registry.delete("builtin", 1)
    assert registry.register(ModelVersion("builtin", "/mine")).version == 2


def test_unknown_names(registry: ModelRegistry) -> None:
    for name in ("nobody", "", "../x", "\ud800", "x" * 5000):
        for call in (registry.get, registry.delete, registry.versions, registry.rollback):
            with pytest.raises(NotFound) as caught:
                call(name)
            assert caught.value.code == "model_not_found"
    with pytest.raises(RequestError, match="reads as a version"):
        registry.register(ModelVersion("mine@2", "/x"))


def test_oldest_first_and_delete(registry: ModelRegistry) -> None:
    for n, name in enumerate(("c", "a", "b")):
        registry.register(ModelVersion(name, "/x", base="builtin", created=100.0 + n))
    assert [v.name for v in registry.list()] == ["builtin", "all-minilm-l6-v2", "c", "a", "b"]
    registry.delete("a")
    assert [v.name for v in registry.list()][2:] == ["c", "b"]
    with pytest.raises(Conflict):
        registry.delete("builtin")
    again = registry.register(ModelVersion("a", "/y", base="builtin"))
    assert (again.source, again.version, registry.get("a")) == ("/y", 2, again)


def test_a_version_that_an_adapter_runs_on_stays(registry: ModelRegistry) -> None:
    for source in ("/1", "/2"):
        registry.register(ModelVersion("base", source))
    registry.promote("base", 2)
    adapter = registry.register(ModelVersion("tuned", "/a", base="base", parent="base@1"))
    assert base_of(registry, adapter).source == "/1"
    for version in (1, None):
        with pytest.raises(Conflict, match="tuned@1 run on base"):
            registry.delete("base", version)
    registry.delete("tuned")
    registry.delete("base", 1)
    registry.delete("base")


def test_a_reference_names_a_version(registry: ModelRegistry) -> None:
    assert split("org/a:b@12") == ("org/a:b", 12)
    assert split("a@b") == ("a@b", None)
    assert split("a@01") == ("a@01", None)
    registry.register(ModelVersion("builtin", "/mine"))
    assert [pick(registry, r).source for r in ("builtin", "builtin@0", "builtin@1")] == [
        "builtin",
        "builtin",
        "/mine",
    ]
    with pytest.raises(NotFound):
        pick(registry, "builtin@2")


def test_an_adapter_of_the_configuration_s_earlier_source_runs_on_nothing(registry: ModelRegistry) -> None:
    tuned = ModelVersion("a", "/a", base="builtin", parent="builtin@0", parent_source="builtin")
    assert base_of(registry, registry.register(tuned)) == registry.get("builtin")
    earlier = registry.register(msgspec.structs.replace(tuned, name="b", parent_source="hf://org/earlier"))
    with pytest.raises(Conflict, match=r"'b' was tuned from builtin@0 when that was hf://org/earlier"):
        base_of(registry, earlier)


def test_what_nothing_answers_as_is_known_and_not_listed(tmp_path: Path) -> None:
    records = SqliteRecords(tmp_path / "records.sqlite")
    registry = RecordedModels(records, [ModelVersion("m", "hf://o/m")], unlisted=DEFAULTS)
    assert [v.name for v in registry.list()] == ["m"]
    assert registry.get("builtin") == DEFAULTS[0]
    assert registry.register(msgspec.structs.replace(DEFAULTS[0], source="/b")).approval == "pending"
    assert [v.name for v in registry.list()] == ["m"]
    registry.promote("builtin", 1)
    assert [v.name for v in registry.list()] == ["m", "builtin"]
    hosted = RecordedModels(
        records, [ModelVersion("all-minilm-l6-v2", "hf://o/e", "embedding")], unlisted=DEFAULTS
    )
    assert [v.source for v in hosted.list()] == ["hf://o/e", "/b"]


def test_a_record_of_the_time_before_versions(adapter: str, tmp_path: Path, registry: ModelRegistry) -> None:
    item = {"name": "old", "source": "/old", "task": "chat", "base": "builtin", "job": "j", "created": 5.0}
    RECORDS[adapter](tmp_path).put(COLLECTION, "old", item)
    assert registry.get("old") == ModelVersion("old", "/old", "chat", "builtin", "j", 5.0, 1, "approved")
    assert registry.register(ModelVersion("old", "/new", base="builtin")).version == 2
    assert registry.get("old").source == "/old"


def test_of_many_at_once_each_has_its_number(adapter: str, tmp_path: Path) -> None:
    def attempt(n: int) -> None:
        mine = REGISTRIES[adapter](tmp_path)
        mine.promote("one", mine.register(ModelVersion("one", f"/{n}")).version)

    threads = [threading.Thread(target=attempt, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    registry = REGISTRIES[adapter](tmp_path)
    there = registry.versions("one")
    assert [v.version for v in there] == [1, 2, 3, 4, 5, 6]
    assert {v.source for v in there} == {f"/{n}" for n in range(6)}
    lived = [registry.get("one").version]
    while len(lived) < 6:
        try:
            lived.append(registry.rollback("one").version)
        except Conflict:
            break
    assert set(lived) >= set(range(1, 7)) - {1}


NAMES, SOURCES = st.sampled_from(["builtin", "mine"]), st.sampled_from(["/a", "/b", "/c"])
NUMBERS = st.integers(0, 4)


class Lifecycle(RuleBasedStateMachine):
    """Against the plainest model of it: versions in a dict, and a list of what was live, the latest last."""

    adapter = ""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.versions: dict[str, dict[int, str]] = {"builtin": {0: "builtin"}, "mine": {}}
        self.lived: dict[str, list[int]] = {"builtin": [0], "mine": []}
        self.count = {"builtin": 0, "mine": 0}

    @property
    def registry(self) -> ModelRegistry:
        """Each time another process's view: nothing is held between two calls."""
        return REGISTRIES[self.adapter](self.root)

    @rule(name=NAMES, source=SOURCES)
    def register(self, name: str, source: str) -> None:
        made = self.registry.register(ModelVersion(name, source))
        there = self.versions[name]
        if source not in there.values():
            self.count[name] += 1
            there[self.count[name]] = source
            self.lived[name] = self.lived[name] or [self.count[name]]
        assert there[made.version] == source

    @rule(name=NAMES, number=NUMBERS)
    def promote(self, name: str, number: int) -> None:
        if number not in self.versions[name]:
            with pytest.raises(NotFound):
                self.registry.promote(name, number)
            return
        assert self.registry.promote(name, number).version == number
        if self.lived[name][-1] != number:
            self.lived[name].append(number)

    @rule(name=NAMES)
    def roll_back(self, name: str) -> None:
        if len(self.lived[name]) < 2:
            with pytest.raises((Conflict, NotFound)):
                self.registry.rollback(name)
            return
        self.lived[name].pop()
        assert self.registry.rollback(name).version == self.lived[name][-1]

    @rule(name=NAMES, number=NUMBERS)
    def delete(self, name: str, number: int) -> None:
        live = self.lived[name][-1:] == [number]
        if number not in self.versions[name] or live or (name, number) == ("builtin", 0):
            with pytest.raises((Conflict, NotFound)):
                self.registry.delete(name, number)
            return
        self.registry.delete(name, number)
        del self.versions[name][number]
        left = [one for one in self.lived[name] if one != number]
        self.lived[name] = [one for one, after in zip(left, [*left[1:], None], strict=True) if one != after]

    @rule(name=NAMES)
    def delete_all(self, name: str) -> None:
        if name == "builtin" or not self.versions[name]:
            with pytest.raises((Conflict, NotFound)):
                self.registry.delete(name)
            return
        self.registry.delete(name)
        self.versions[name], self.lived[name] = {}, []

    @invariant()
    def one_is_live(self) -> None:
        registry, listed = self.registry, {v.name: v for v in self.registry.list()}
        for name, there in self.versions.items():
            if not there:
                assert name not in listed
                continue
            live = registry.get(name)
            assert (live.version, listed[name]) == (self.lived[name][-1], live)
            assert {v.version: v.source for v in registry.versions(name)} == there


@pytest.mark.parametrize("name", REGISTRIES)
def test_any_life(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = type("Life", (Lifecycle,), {"adapter": name})
    examples, steps = (25, 20) if name == "local" else (3, 10)
    machine.TestCase.settings = settings(
        max_examples=examples, stateful_step_count=steps, suppress_health_check=list(HealthCheck), deadline=None
    )
    machine.TestCase().runTest()
