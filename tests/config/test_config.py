"""stack.toml in, StackConfig out; what can't be used is refused where it stands."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_stack import config as config_module
from genai_stack import gateway as gateway_module
from genai_stack.config import StackConfig, derived_name, find_config, load_config, parse_config
from genai_stack.errors import ConfigError
from genai_stack.toml_lines import lines_by_path

ROOT = Path(__file__).parents[2]


def test_defaults_serve_a_chat_and_an_embedding_model() -> None:
    config = load_config()
    assert [(m.name, m.source, m.task) for m in config.models] == [
        ("builtin", "builtin", "chat"),
        ("all-minilm-l6-v2", "minilm", "embedding"),
    ]
    assert config.default_model == "builtin"
    assert parse_config("") == config


def test_the_repository_s_stack_toml_states_every_default() -> None:
    assert load_config(ROOT / "stack.toml") == StackConfig()
    raw = tomllib.loads((ROOT / "stack.toml").read_text())
    fields = {f.encode_name for f in msgspec.structs.fields(StackConfig)}
    assert set(raw) == fields - {"gate", "price", "tenant", "tasks"}  # there is none unless one is wanted

    def stated(table: object, there: dict[str, Any]) -> None:
        assert set(there) == {f.encode_name for f in msgspec.structs.fields(type(table))}
        for name, value in there.items():
            if isinstance(value, dict):
                stated(getattr(table, name), value)

    for table in ("local", "service", "training"):
        stated(getattr(StackConfig(), table), raw[table])


def test_every_field_is_documented() -> None:
    trees = (ast.parse(Path(module.__file__).read_text()) for module in (config_module, gateway_module))
    classes = {n.name: n for tree in trees for n in tree.body if isinstance(n, ast.ClassDef)}
    for node in classes.values():
        assert ast.get_docstring(node), node.name
        for here, after in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name):
                if getattr(here.annotation, "id", None) in classes:
                    continue  # a table is documented by its class
                documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                assert documented, f"{node.name}.{here.target.id}"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("nam = 'x'\n", 1, "did you mean 'name'"),
        (
            "\n[local]\nthreads = 2\nprecison = 'int8'\n",
            4,
            "unknown key 'precison' in [local]; did you mean 'precision'",
        ),
        ("[local]\nthreads = 'two'\n", 2, "local.threads: Expected `int`, got `str`"),
        ("[local]\n\n\nthreads = true\n", 4, "local.threads"),
        ("[local]\nkv_cache_mb = 0\n", 2, "local.kv_cache_mb: Expected `int` >= 1"),
        ("[local]\nprecision = 'int4'\n", 2, "local.precision: Invalid enum value 'int4'"),
        ("local = 3\n", 1, "local: Expected `object`, got `int`"),
        ("local = { thread = 1 }\n", 1, "did you mean 'threads'"),
        ("local.threads = 1\nlocal.thraeds = 1\n", 2, "did you mean 'threads'"),
        (
            "[[model]]\nname = 'a'\nsource = 'builtin'\n[[model]]\nname = 'b'\nsurce = 'x'\n",
            6,
            "in [model[1]]; did you",
        ),
        ("[[model]]\nname = 'a'\n", 1, "model[0]: Object missing required field `source`"),
        ("[[model]]\nname = ''\nsource = 'x'\n", 2, "model[0].name"),
        ("[[model]]\nname='a'\nsource='x'\n[[model]]\nname='a'\nsource='y'\n", 5, "two models are named 'a'"),
        ("model = [\n  { name = 'a', source = 3 },\n]\n", 1, "model[0].source"),
        ('name = """\nx"""\n[locl]\n', 3, "did you mean 'local'"),
        ("name = \n", 1, "Invalid value"),
        ("[local]\nthreads = 1\nthreads = 2\n", 3, "Cannot overwrite a value"),
        ("[training.spott]\n", 1, "unknown key 'spott' in [training]; did you mean 'spot'"),
        ("[training.spot]\ninstances = ['g6e.2xlarg']\n", 2, "did you mean 'g6e.2xlarge'"),
        (
            "[training.spot]\ninstances = ['g6e.4xlarge', 'g6e.2xlarge']\n",
            2,
            "g6e.2xlarge is smaller than g6e.4xlarge; name the smallest first",
        ),
        ("[training.spot]\n\nmax_vcpus = 8\n", 3, "g6e.4xlarge has 16 vCPUs and would never start"),
        ("[training.spot]\nmax_vcpus = 0\n", 2, "training.spot.max_vcpus: Expected `int` >= 1"),
        ("[training.spot]\nbid_percent = 101\n", 2, "training.spot.bid_percent"),
        ("[training.spot]\ninstances = []\n", 2, "training.spot.instances"),
        ("[training.multi_node]\ninstance = 'g6e.2xlarge'\n", 2, "has no elastic fabric adapter"),
        ("[training.multi_node]\nnodes = 5\n", 1, "5 nodes of g6e.12xlarge need 240"),
        ("[training.multi_node]\nzone = 3\n", 2, "the network has 2 zones"),
        ("[training.multi_node]\ncapacity_block = true\n", 2, "name the block's cr-…"),
        ("[training.multi_node]\ncapacity_reservation = 'res-1'\n", 2, "capacity_reservation"),
        ("[training.network]\negress = 'nat'\nnat_gateways = 3\n", 3, "one for each of the 2 zones"),
        ("[training.network]\negress = 'none'\n", 2, "training.network.egress: Invalid enum value 'none'"),
        ("[training.network]\ncidr = '10.0.0.0/8'\n", 2, "training.network.cidr"),
        ("[training]\ncapacity_wait_minutes = 5\n", 2, "training.capacity_wait_minutes"),
        ("[training]\nalarm_email = 'me'\n", 2, "training.alarm_email"),
        ("[service", 1, "Expected ']'"),
        ('"na\\u006de" = 3\n', 1, "name"),
    ],
)
def test_what_cannot_be_used_is_refused_where_it_stands(text: str, line: int, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "here/stack.toml")
    assert caught.value.message.startswith(f"here/stack.toml:{line}: ")
    assert (caught.value.file, caught.value.line) == ("here/stack.toml", line)
    assert says in str(caught.value)


def test_model_directories_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text("[[model]]\nname = 'mine'\nsource = 'models/mine'\n")
    config = load_config(find_config(tmp_path))
    assert config.models[0].source == str(tmp_path / "models/mine")
    assert config.default_model == "mine"


def test_an_address_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text("[[model]]\nname = 'mine'\nsource = 's3://bucket/models/mine'\n")
    assert load_config(tmp_path / "stack.toml").models[0].source == "s3://bucket/models/mine"
    added = StackConfig().serving("s3://bucket/models/mine").models[0]
    assert (added.name, added.source) == ("mine", "s3://bucket/models/mine")


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.toml: can't be read: No such file"):
        load_config(tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match="isn't UTF-8"):
        load_config(tmp_path / "bad.toml")


def test_serving_puts_a_model_first(tmp_path: Path) -> None:
    two = parse_config("[[model]]\nname='a'\nsource='builtin'\n[[model]]\nname='b'\nsource='builtin'\n")
    assert two.serving("b").default_model == "b"
    assert len(two.serving("b").models) == 2
    added = StackConfig().serving(str(tmp_path / "my model"))
    assert (added.models[0].name, added.models[0].source) == ("my-model", str(tmp_path / "my model"))
    assert added.models[1:] == StackConfig().models
    assert StackConfig().serving("hf://org/Some-Model@main").models[0].name == "Some-Model"
    with pytest.raises(ConfigError, match="served as 'builtin'"):
        StackConfig().serving("hf://org/builtin")


def test_names_derive_from_sources() -> None:
    assert derived_name("hf://org/name@v1.0") == "name"
    assert derived_name("/models/llama 3/") == "llama-3"
    with pytest.raises(ConfigError):
        derived_name("/")


VALUES = st.sampled_from(
    ["1", "'a # ['", '"] \\" #"', "[1,\n 2, # c]\n 3]", '"""a\nb = 1\n"""', "'''\n[x]\n'''", "{ k = '}' }"]
)
KEYS = st.sampled_from(["a", "b-c", "'q.r'", '"s t"', "d.e"])


@given(st.lists(st.tuples(KEYS, VALUES, st.integers(0, 3)), max_size=8))
def test_a_key_s_line_holds_whatever_the_values_span(rows: list[tuple[str, str, int]]) -> None:
    text, want = "", {}
    for index, (key, value, blank) in enumerate(rows):
        text += "# [no]\n" * blank
        want[index] = text.count("\n") + 2
        text += f"[[t]]\n{key} = {value}\n"
    tomllib.loads(text)
    lines = lines_by_path(text)
    for index, (key, _, _) in enumerate(rows):
        path = tuple(key.split(".")) if key == "d.e" else (key.strip("'\""),)
        assert lines[("t", index, *path)] == want[index]
