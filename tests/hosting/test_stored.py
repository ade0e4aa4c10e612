"""Models and adapters that lie in a bucket, served by a model server that fetches them itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genai_stack.aws.objects import S3Objects
from tests.aws.account import account
from tests.contracts.adapters import made_bucket
from tests.hosting.served import serving


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> S3Objects:
    for name, value in account().environment.items():
        monkeypatch.setenv(name, value)
    return S3Objects(made_bucket(tmp_path))


def put(bucket: S3Objects, directory: Path, prefix: str) -> str:
    for file in directory.iterdir():
        if file.is_file():
            bucket.put(f"{prefix}/{file.name}", file.read_bytes())
    return f"s3://{bucket.bucket}/{prefix}"


def test_an_adapter_in_a_bucket_answers_as_its_directory_does(
    bucket: S3Objects, tiny_dir: Path, engine_home: Path, adapter_dirs: list[Path]
) -> None:
    stored = put(bucket, adapter_dirs[0], "jobs/j/output/adapter")
    asked: dict[str, Any] = {"prompt": [10, 20, 30], "max_tokens": 6, "temperature": 0, "ignore_eos": True}
    with serving(tiny_dir, engine_home, "--precision", "f32") as server:
        for name, src in (("here", str(adapter_dirs[0])), ("there", stored)):
            for _ in range(2):
                assert server.send("POST", "/adapters", {"name": name, "src": src})[0] == 200
        here, there, base = (
            server.ask("/v1/completions", model=name, **asked)["choices"][0]["text"]
            for name in ("here", "there", "base")
        )
        assert here == there != base
        status, said = server.send("POST", "/adapters", {"name": "no", "src": f"s3://{bucket.bucket}/nothing"})
        assert (status, said["error"]["code"]) == (400, "invalid_model")
