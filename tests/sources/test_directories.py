"""Model directories: only data is opened, and all of it is in there."""

from __future__ import annotations

import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest

from genai_stack.errors import InvalidModel
from genai_stack.sources import absolute, check, resolve


def tensors(*names: str) -> bytes:
    text = json.dumps(
        {n: {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]} for i, n in enumerate(names)}
    ).encode()
    return struct.pack("<Q", len(text)) + text + bytes(len(names))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "config.json").write_text('{"model_type": "llama"}')
    (directory / "model.safetensors").write_bytes(tensors("a", "b"))
    return directory


def refusal(source: Path | str) -> str:
    with pytest.raises(InvalidModel) as refused:
        resolve(str(source))
    return refused.value.message


def sharded(model: Path, homes: dict[str, Any], **shards: bytes) -> None:
    (model / "model.safetensors").unlink(missing_ok=True)
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": homes}))
    for name, content in shards.items():
        (model / f"{name}.safetensors").write_bytes(content)


def test_what_nothing_loads_is_left_alone(model: Path) -> None:
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(1))
    (model / "training_args.bin").write_bytes(pickle.dumps(1))
    (model / "modeling_own.py").write_text("raise SystemExit('imported')")
    assert resolve(str(model)) == check(model) == model
    adapter = model / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(tensors("a"))
    assert check(adapter) == adapter


def test_pickles_that_would_be_loaded_are_refused_unopened(model: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(model / "opened"),)

    whole = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    assert "is pickled, whatever its name" in refusal(model)
    (model / "model.safetensors").write_bytes(whole)
    (model / "tokenizer.model").write_bytes(pickle.dumps(Bomb()))
    assert "tokenizer.model is pickled, whatever its name" in refusal(model)
    (model / "tokenizer.model").unlink()
    (model / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "weights.pt", "weights.pth", "a.ckpt", "a.pkl", "a.pickle"):
        (model / name).write_bytes(pickle.dumps(Bomb()))
        assert f"{name} is pickled, and unpickling runs code; convert" in refusal(model)
        (model / name).unlink()
    sharded(model, {"a": "pytorch_model.bin"})
    assert "names 'pytorch_model.bin'" in refusal(model)
    assert not (model / "opened").exists()


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "adapter_config.json"])
@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"auto_map": {"AutoModel": "modeling_own.Own"}}, "asks for code of its own (auto_map)"),
        ({"trust_remote_code": True}, "asks for code of its own (trust_remote_code)"),
        ({"text_config": {"auto_map": {"AutoConfig": "x.Y"}}}, "asks for code of its own (auto_map)"),
        ({"attn_implementation": "someone/kernel"}, "asks for a kernel from elsewhere"),
        (
            {"parts": [{"_attn_implementation": {"text": "someone/kernel@v1"}}]},
            "asks for a kernel from elsewhere",
        ),
    ],
)
def test_settings_that_ask_for_code_are_refused(model: Path, file: str, settings: Any, why: str) -> None:
    (model / file).write_text(json.dumps(settings))
    assert why in refusal(model)


def test_settings_that_are_none(model: Path) -> None:
    (model / "config.json").write_text(
        '{"auto_map": null, "trust_remote_code": false, "attn_implementation": "sdpa"}'
    )
    assert check(model) == model
    for broken in (b"{", b"[]", b"\xff", b'{"a":' + b"[" * 100_000):
        (model / "config.json").write_bytes(broken)
        assert "config.json isn't " in refusal(model)
    (model / "config.json").unlink()
    os.mkfifo(model / "config.json")
    assert "isn't a regular file" in refusal(model)


def test_links_stay_in_the_directory(model: Path, tmp_path: Path) -> None:
    (model / "inside.json").symlink_to("config.json")
    check(model)
    (tmp_path / "secret").write_text("{}")
    (model / "outside.txt").symlink_to("../secret")
    assert "is a link out of the model directory" in refusal(model)
    (model / "outside.txt").unlink()
    (model / "dangling.json").symlink_to("/nowhere/at/all")
    assert "is a link out of the model directory" in refusal(model)


def test_the_hubs_cache_links_to_its_own_blobs(model: Path, tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "models--o--n" / "snapshots" / "abc", tmp_path / "models--o--n" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for file in model.iterdir():
        file.rename(blobs / file.name)
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    assert check(snapshot) == snapshot
    (snapshot / "more.json").symlink_to("../../../elsewhere.json")
    assert "is a link out of the model directory" in refusal(snapshot)


def test_shards_and_their_index_agree(model: Path) -> None:
    homes = {"a": "one.safetensors", "b": "two.safetensors"}
    sharded(model, homes, one=tensors("a"), two=tensors("b"))
    assert check(model) == model
    sharded(model, {"a": "one.safetensors", "b": "one.safetensors"})
    assert "tensor 'b' isn't in one.safetensors" in refusal(model)
    sharded(model, homes, two=tensors("a", "b"))
    assert "tensor 'a' stands in one.safetensors and two.safetensors" in refusal(model)
    sharded(model, homes, two=tensors("b")[:-1])
    assert "two.safetensors isn't a valid safetensors file" in refusal(model)
    (model / "two.safetensors").unlink()
    assert "two.safetensors is missing" in refusal(model)
    for elsewhere in ("../one.safetensors", "/one.safetensors", "a\\one.safetensors", "sub/one.safetensors"):
        sharded(model, {"a": elsewhere})
        assert "in the same directory" in refusal(model)
    for index in ({}, [], {"a": 1}, "x"):
        sharded(model, index)  # type: ignore[arg-type]
        assert "has no weight_map" in refusal(model)
    sharded(model, {"a": "one.safetensors"})
    (model / "model.safetensors").write_bytes(tensors("a"))
    assert "holds both model.safetensors and model.safetensors.index.json" in refusal(model)


def test_sources_that_are_no_model(model: Path, tmp_path: Path) -> None:
    assert "no model at" in refusal(tmp_path / "none")
    assert "takes an [architecture]" in refusal("scratch")
    assert "give a model directory" in refusal("https://host/model")
    assert "isn't of the form hf://org/name" in refusal("hf://one-name")
    assert "can't be fetched" in refusal("hf://nobody/nothing")
    (model / "model.safetensors").rename(model / "other.safetensors")
    assert "holds other.safetensors, and no model.safetensors" in refusal(model)
    (model / "other.safetensors").unlink()
    assert "no *.safetensors in" in refusal(model)


def test_an_absolute_source_means_the_same_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("runs/x") == str(tmp_path / "runs/x")
    for source in ("builtin", "scratch", "hf://o/n@main", "s3://bucket/prefix"):
        assert absolute(source) == source
