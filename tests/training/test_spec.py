from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from genai_stack.errors import InvalidSpec
from genai_stack.training.spec import load, parse

GOOD: dict[str, Any] = {"name": "a", "method": "lora", "output": "runs/a", "data": {"train": "a.jsonl"}}
ARCHITECTURE = {"hidden_size": 64, "heads": 2, "kv_heads": 1, "layers": 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"methd": "lora"}, "methd: no such key; did you mean 'method'?"),
        ({"hyperparameters": {"learning_rte": 1}}, "no such key; did you mean 'learning_rate'?"),
        ({"data": {"train": "a", "valid": "b"}}, "data.valid: no such key; did you mean 'validation'?"),
        ({"architecture": {"hiden": 1}}, "architecture.hiden: no such key; did you mean 'hidden_size'?"),
        ({"method": "ppo"}, "method: Invalid enum value 'ppo'"),
        ({"seed": "1"}, "seed: Expected `int`"),
        ({"seed": -1}, "seed: Expected `int` >= 0"),
        ({"threads": 0}, "threads"),
        ({"name": "../x"}, "name"),
        ({"hyperparameters": {"epochs": 0}}, "hyperparameters.epochs"),
        ({"hyperparameters": {"learning_rate": float("nan")}}, "hyperparameters.learning_rate"),
        ({"base": "scratch"}, "needs an [architecture]"),
        ({"architecture": ARCHITECTURE}, "only it takes one"),
        ({"base": "scratch", "architecture": ARCHITECTURE}, "starts from a trained base"),
        ({"base": "scratch", "method": "pretrain", "architecture": {"hidden_size": 65}}, "of architecture.heads"),
        ({"base": "scratch", "method": "pretrain", "architecture": {"kv_heads": 3}}, "of architecture.kv_heads"),
        ({"base": "scratch", "method": "full", "architecture": {"layers": 1, "start": "copying"}}, "takes two layers"),
        ({"data": None}, "data: Expected `object`"),
    ],
)  # fmt: skip
def test_a_spec_that_cant_be_run_is_refused_with_its_key(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        parse({**GOOD, **change})
    assert said in refused.value.message


@pytest.mark.parametrize("value", [None, [], "x", 3, {}])
def test_what_isnt_a_spec_at_all_is_refused(value: Any) -> None:
    with pytest.raises(InvalidSpec):
        parse(value)


def test_defaults_follow_the_method() -> None:
    lora, pretrain = parse(GOOD), parse({**GOOD, "method": "pretrain"})
    assert (lora.base, lora.learning_rate, lora.packing, lora.loss) == ("builtin", 2e-4, False, "answers")
    assert (pretrain.learning_rate, pretrain.packing, pretrain.loss) == (1e-3, True, "all")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", b"name = "),
        ("a.json", b'{"name": '),
        ("a.toml", b"\xff"),
        ("a.json", b"\xff\xfe{"),
        ("a.json", b"[" * 100_000),
    ],
)
def test_a_file_that_cant_be_parsed_is_named(tmp_path: Path, name: str, text: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(text)
    with pytest.raises(InvalidSpec, match=name):
        load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="No such file"):
        load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "recipe", sorted((Path(__file__).parents[2] / "recipes").glob("*.toml")), ids=lambda p: p.stem
)
def test_the_recipes_are_valid(recipe: Path) -> None:
    assert load(recipe).name


def test_the_spec_is_read_without_the_engines() -> None:
    code = "import genai_stack.training.spec, sys; print({'torch', 'transformers', 'trl'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
