"""Where jobs run, as far as the client must know: what they can read there, and how often to look after them."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .. import names
from ..errors import GenAIStackError, InvalidSpec, ObjectNotFound
from ..ports import Job, ObjectStore
from ..sources import absolute, store
from ..sources.data import objects, pinned
from . import bulk
from .examples import Data, Kept, keep, of_all
from .jobs import beside

if TYPE_CHECKING:
    from ..bulk.intake import Inspection

Bulk = Literal["batch", "evaluate"]
COMPUTED_BY: Mapping[Bulk, tuple[str, str]] = {
    "batch": ("engine", "vllm"),
    "evaluate": ("against", "weights"),
}
"""What a stage's containers compute with, the option and its value: they have no local engine, and no stack to ask."""
UNHEARD: Mapping[Bulk, tuple[str, ...]] = {
    "batch": ("threads", "precision"),
    "evaluate": ("max_in_flight", "precision"),
}
"""Options of the local engine and of the API."""
SAGEMAKER = "sagemaker"
"""What a stage's jobs run on besides AWS Batch."""
ANYWHERE = ("hf://", "s3://")
BY_NAME = ("builtin", "scratch")
"""What the containers bring along."""


class Place(Protocol):
    """`poll` is the pause in seconds between two looks at a job, `option` what the command line needs to find it."""

    poll: float
    option: str

    def require(self, on: str | None) -> None:
        """Raises InvalidSpec where nothing of that name runs jobs here."""

    def keep(self, data: Data, method: str | None = None) -> Kept:
        """`data`, checked (for what `method` learns from), where jobs can read it and where it stays what it was."""

    def source(self, given: str) -> str:
        """A model source as a job here reads it. Raises InvalidSpec when it can't."""

    def requests(self, requests: bulk.Requests, model: str) -> tuple[str, Inspection]:
        """A checked batch file, where jobs can read it and where it stays what it was, and what is in it. Raises
        InvalidData with the first faulty lines."""

    def options(self, kind: Bulk, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a batch or an evaluation, and what jobs here compute with. Raises InvalidSpec, which names an
        option that they don't take."""

    def fetch(self, job: Job, name: str) -> Path:
        """The file `name` that `job` left in its output, on this machine. Raises ObjectNotFound."""

    def holds(self, key: str, sha256: str) -> bool:
        """Whether the file of that key is there, with that content."""

    def store(self, key: str, data: Iterator[bytes]) -> None:
        """Keeps a file of a model, whole or not at all."""

    def address(self, prefix: str) -> str:
        """The model source that means the files stored under `prefix`."""


class ThisMachine:
    """Jobs are processes of this machine; data is kept in `directory`."""

    poll = 0.2
    option = ""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def require(self, on: str | None) -> None:
        if on is not None:
            raise InvalidSpec(f"on: this machine runs its jobs itself, and none on {on!r}; take a stage for it")

    def keep(self, data: Data, method: str | None = None) -> Kept:
        return keep(data, self._directory, method)

    def source(self, given: str) -> str:
        return absolute(given)

    def requests(self, requests: bulk.Requests, model: str) -> tuple[str, Inspection]:
        path, found = bulk.keep(requests, self._directory, model)
        return str(path), found

    def options(self, kind: Bulk, given: Mapping[str, Any]) -> dict[str, Any]:
        return dict(given)

    def fetch(self, job: Job, name: str) -> Path:
        return beside(job, name)

    def holds(self, key: str, sha256: str) -> bool:
        """By its presence: a file takes its name once it is whole, and its directory is named after its content."""
        return (self._directory / key).is_file()

    def store(self, key: str, data: Iterator[bytes]) -> None:
        path = self._directory / key
        partial = path.with_name(f".{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("xb") as out:
                for chunk in data:
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())
            partial.replace(path)
        except OSError as error:
            raise GenAIStackError(
                f"can't keep {path}: {error.strerror}; free some space, or give --home"
            ) from error
        finally:
            partial.unlink(missing_ok=True)

    def address(self, prefix: str) -> str:
        return str(self._directory / prefix)


class Stage:
    """Jobs run in an account; data goes to its artefact bucket, under the digest of its content."""

    poll = 3.0

    def __init__(self, stage: str, objects: ObjectStore, bucket: str) -> None:
        self.option = f" --stage {stage}"
        self._stage, self._objects, self._bucket = stage, objects, bucket

    def require(self, on: str | None) -> None:
        if on not in (None, SAGEMAKER):
            raise InvalidSpec(
                f"on: a stage trains on {SAGEMAKER!r}, or on AWS Batch when it is left out, not on {on!r}"
            )

    def keep(self, data: Data, method: str | None = None) -> Kept:
        """What is remote already isn't copied: the job reads and checks it. `s3://` is known by the digests of what
        lies there now, `hf://` by the commit it stands for now."""
        if isinstance(data, str) and data.startswith("s3://"):
            self._require_ours(data, "data")
            _, found = objects(data)
            return Kept(data, of_all([found[name].sha256 for name in sorted(found)]), None)
        if isinstance(data, str) and data.startswith("hf://"):
            address = pinned(data)
            return Kept(address, hashlib.sha256(address.encode()).hexdigest(), None)
        with tempfile.TemporaryDirectory(prefix="genai-stack-") as folder:
            kept = keep(data, Path(folder), method)
            path = Path(kept.path)
            if path.is_dir():
                for file in sorted(path.iterdir()):
                    self._upload(file, names.data(kept.sha256, f"/{file.name}"))
            else:
                self._upload(path, names.data(kept.sha256, path.suffix))
        return Kept(f"s3://{self._bucket}/{names.data(kept.sha256, path.suffix)}", kept.sha256, kept.examples)

    def _upload(self, file: Path, key: str) -> None:
        """Unless it is there already."""
        with file.open("rb") as stream:
            if not self._has(key, hashlib.file_digest(stream, "sha256").hexdigest()):
                stream.seek(0)
                self._objects.put(key, iter(lambda: stream.read(1 << 20), b""))

    def source(self, given: str) -> str:
        if given.startswith("s3://"):
            self._require_ours(given, "models")
        if given in BY_NAME or given.startswith(ANYWHERE):
            return given
        if given == "minilm":
            raise InvalidSpec(
                f"the containers of stage {self._stage!r} have no 'minilm'; take a local stack for it"
            )
        raise InvalidSpec(
            f"base {given!r} is on this machine, where no job of stage {self._stage!r} can read it; copy it with: "
            f"aws s3 cp --recursive {given} s3://{self._bucket}/models/NAME, and give that s3:// address"
        )

    def requests(self, requests: bulk.Requests, model: str) -> tuple[str, Inspection]:
        with tempfile.TemporaryDirectory(prefix="genai-stack-") as folder:
            path, found = bulk.keep(requests, Path(folder), model)
            key = names.data(found.sha256, path.suffix)
            self._upload(path, key)
        return f"s3://{self._bucket}/{key}", found

    def options(self, kind: Bulk, given: Mapping[str, Any]) -> dict[str, Any]:
        told = {name: value for name, value in given.items() if value is not None}
        name, value = COMPUTED_BY[kind]
        if told.get(name, value) != value:
            raise InvalidSpec(
                f"{name}: jobs of stage {self._stage!r} take {value!r}, not {told[name]!r}; leave it out"
            )
        for unheard in UNHEARD[kind]:
            if unheard in told:
                raise InvalidSpec(
                    f"{unheard}: jobs of stage {self._stage!r}, whose {name} is {value!r}, take none; leave it out"
                )
        if "task_dir" in told:
            raise InvalidSpec(
                f"task_dir: is on this machine, where no job of stage {self._stage!r} can read it; take tasks that "
                "lm-eval has, or a local stack"
            )
        return {**told, name: value}

    def fetch(self, job: Job, name: str) -> Path:
        found = self._objects.head(f"{names.job_output(job.id)}/{name}")
        return store.fetch(self._objects, {name: found}) / name

    def holds(self, key: str, sha256: str) -> bool:
        return self._has(key, sha256)

    def store(self, key: str, data: Iterator[bytes]) -> None:
        self._objects.put(key, data)

    def address(self, prefix: str) -> str:
        return f"s3://{self._bucket}/{prefix}"

    def _require_ours(self, address: str, folder: str) -> None:
        """Jobs may read the artefact bucket and no other."""
        if address.removeprefix("s3://").partition("/")[0] != self._bucket:
            raise InvalidSpec(
                f"no job of stage {self._stage!r} may read {address}; copy it with: aws s3 cp --recursive {address} "
                f"s3://{self._bucket}/{folder}/NAME, and give that s3:// address"
            )

    def _has(self, key: str, sha256: str) -> bool:
        try:
            return self._objects.head(key).sha256 == sha256
        except ObjectNotFound:
            return False


def of_stage(stage: str, objects: ObjectStore) -> Stage:
    """Raises NotDeployedError, which names the stack to deploy."""
    from ..aws import published

    return Stage(stage, objects, published.read(stage, "training", "artefact-bucket"))
