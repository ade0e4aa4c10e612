"""The seams of the house: what the product asks of a place it runs in.

`local/` implements these on one machine, `aws/` on an account; one contract suite (`tests/contracts`) holds each
pair to the same behaviour. Calls that wait on a disk or a control plane are synchronous (the service runs them in
threads); `ModelHost`, which carries every request, is asynchronous.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

import msgspec

from .hosted import Task
from .protocol.filters import Filter, Value

JobState = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
FINAL_STATES: frozenset[JobState] = frozenset(("succeeded", "failed", "cancelled"))
JSON = "application/json"


class ObjectInfo(msgspec.Struct, frozen=True):
    """`bytes` is the size, `modified` Unix seconds, `sha256` lower-case hex of the whole content."""

    key: str
    bytes: int
    sha256: str
    modified: float


class ObjectStore(Protocol):
    """Immutable blobs under `/`-separated keys. A put is atomic and durable once it returns."""

    def put(self, key: str, data: bytes | Iterable[bytes]) -> ObjectInfo: ...
    def get(self, key: str) -> bytes:
        """Raises ObjectNotFound."""

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Bytes `start` (inclusive) to `end` (exclusive) in chunks. Raises ObjectNotFound at once."""

    def head(self, key: str) -> ObjectInfo:
        """Raises ObjectNotFound."""

    def list(self, prefix: str = "", *, after: str | None = None, limit: int = 1000) -> list[ObjectInfo]:
        """In key order, keys strictly after `after`."""

    def delete(self, key: str) -> None:
        """Nothing happens when the key doesn't exist."""

    def address(self, key: str) -> str:
        """Where a job of this place reads the object while it is neither replaced nor deleted: a path, or
        s3://bucket/key. Raises ObjectNotFound."""


class Record(msgspec.Struct, frozen=True):
    """One JSON object. `version` starts at 1 and grows by one with every write."""

    id: str
    item: dict[str, Any]
    version: int


class RecordStore(Protocol):
    """JSON records in collections, keyed by id. A write is durable once it returns."""

    def get(self, collection: str, id: str) -> Record | None: ...
    def put(
        self,
        collection: str,
        id: str,
        item: Mapping[str, Any],
        *,
        if_version: int | None = None,
        expires: float | None = None,
    ) -> Record:
        """`if_version` 0 creates only, n replaces version n only, None writes whatever is there. From `expires` (Unix
        seconds, rounded up) on the record isn't there for anyone, and some time later it takes no room; what is put in
        its place may go on counting its versions. Raises ConditionFailed."""

    def delete(self, collection: str, id: str, *, if_version: int | None = None) -> None:
        """Raises ConditionFailed; nothing happens when the record doesn't exist and no version is asked."""

    def query(
        self,
        collection: str,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int = 100,
        descending: bool = False,
    ) -> list[Record]:
        """In id order; ids strictly beyond `after` in that order."""

    def add(self, collection: str, id: str, amount: int, *, ceiling: int | None = None) -> int:
        """Adds to a counter (created at 0) and returns its value, atomically.
        Raises LimitReached, changing nothing, when the sum would pass `ceiling`."""


class JobRequest(msgspec.Struct, frozen=True):
    """`id` is chosen by the caller and makes a submit idempotent. `kind` names a job program ("train"), `spec` is
    its JSON spec. `on_success` describes the model to register when the job succeeds. `nodes` machines share it. `on`
    names what runs it where a queue leads to more than one: "sagemaker" on a stage; None is the queue's own."""

    id: str
    kind: str
    spec: dict[str, Any]
    on_success: ModelVersion | None = None
    nodes: int = 1
    on: str | None = None


class Job(msgspec.Struct, frozen=True):
    """Times are Unix seconds. `output` is the directory or prefix the job writes under; `error` says why it failed.
    `idle` are seconds between `started` and `finished` in which it was paused or, resumed, waited for its next run."""

    id: str
    kind: str
    state: JobState
    created: float
    spec: dict[str, Any]
    output: str
    started: float | None = None
    finished: float | None = None
    error: str | None = None
    model: str | None = None
    idle: float = 0.0


class JobQueue(Protocol):
    def submit(self, request: JobRequest) -> Job:
        """The same id again returns the job that is there."""

    def get(self, id: str) -> Job:
        """Raises NotFound."""

    def list(self, *, after: str | None = None, limit: int = 100) -> list[Job]:
        """Newest first."""

    def cancel(self, id: str) -> Job:
        """Stops the work, the whole process group of it; final, and nothing happens to a job that has ended."""

    def pause(self, id: str) -> Job:
        """Interrupts the work, which keeps what it has come to, and holds the job back until `resume`. It may go on to
        be "running" for a while, and then be "paused". Nothing happens to a job that has ended. Raises RequestError for
        one that can't be paused."""

    def resume(self, id: str) -> Job:
        """A paused job is queued again, and goes on from what it kept. Nothing happens to any other."""

    def events(self, id: str, *, after: int = 0) -> builtins.list[dict[str, Any]]:
        """The events a job has written so far (`events.jsonl`), from index `after` on."""

    def metrics(self, id: str, *, after: int = 0) -> builtins.list[dict[str, Any]]:
        """The metrics a job has written so far (`metrics.jsonl`), from index `after` on."""

    def log(self, id: str) -> str:
        """What the job has printed so far."""

    def output(self, id: str, name: str) -> Iterator[bytes]:
        """The file `name` that the job left in its output, in chunks. Raises NotFound, and ObjectNotFound at once when
        there is no such file."""


class ModelVersion(msgspec.Struct, frozen=True):
    """A callable model. `name` is what a request says; `source` is where its files are ("builtin", a directory,
    hf://org/name[@revision], s3://bucket/prefix); an adapter names its `base`. `created` is Unix seconds.

    `version` counts a name's registrations from 1, and never twice; 0 is what the configuration names. `digest` is the
    SHA-256 over its files' own, where they are known. Its lineage: the training `job`, the SHA-256 of the `data`, the
    `parent` (NAME@VERSION) that it was tuned from with the `parent_source` it had then (NAME@0 is whatever the
    configuration names), and the `origin` it was imported from."""

    name: str
    source: str
    task: Task = "chat"
    base: str | None = None
    job: str | None = None
    created: float = 0.0
    version: int = 0
    approval: Literal["pending", "approved"] = "pending"
    digest: str | None = None
    data: str | None = None
    parent: str | None = None
    origin: str | None = None
    parent_source: str | None = None

    @property
    def reference(self) -> str:
        """NAME@VERSION."""
        return f"{self.name}@{self.version}"


class ModelRegistry(Protocol):
    """A name has versions, and one of them is live: the one promoted last, else the configuration's, else the first.
    Each call is one conditional write: of two at once, both take effect, one after the other."""

    def register(self, version: ModelVersion) -> ModelVersion:
        """The next version of its name, numbered here. The same again (source, task, base, job) is the one that is
        there. Raises RequestError for a name that can't be one, Conflict for one version too many."""

    def get(self, name: str) -> ModelVersion:
        """The live version. Raises NotFound with code model_not_found."""

    def list(self) -> list[ModelVersion]:
        """The live ones: what the configuration names, then what was registered, oldest first."""

    def versions(self, name: str) -> builtins.list[ModelVersion]:
        """Every version of a name, in the order of their numbers. Raises NotFound."""

    def promote(self, name: str, version: int) -> ModelVersion:
        """Approves a version and makes it live; the live one again changes nothing. Raises NotFound."""

    def rollback(self, name: str) -> ModelVersion:
        """Makes the version live that was so before the live one. Raises NotFound, Conflict when there was none."""

    def delete(self, name: str, version: int | None = None) -> None:
        """One version, or the name with all of them. Raises NotFound; Conflict for what the configuration names, for
        the live version, and for what an adapter runs on."""


class Reply(msgspec.Struct, frozen=True):
    """A model's whole answer, errors included: the status and body are the container's own."""

    status: int
    content_type: str
    body: bytes


class ReplyStream(Protocol):
    """A model's answer as it comes. When `status` isn't 200 the chunks make up an error body."""

    status: int
    content_type: str

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class DirectAccess(msgspec.Struct, frozen=True):
    """`base_url` goes to an OpenAI client as it is. `key` gives the key to send now: it is short-lived, and `key` may
    block to make a new one. `routes` are the API paths that lead anywhere there."""

    base_url: str
    key: Callable[[], str]
    routes: tuple[str, ...]


class ModelHost(Protocol):
    """Bodies are OpenAI JSON, unless `kind`, the content type, says otherwise (a form with a file in it); `route` is
    the API path ("/v1/chat/completions", "/v1/embeddings", "/v1/tokenize" …).

    A request whose model has no copy up waits `wait` seconds for one, then raises ModelWarming; None is the host's
    own patience. A model takes a request once: nothing that may have been generated is generated again."""

    async def invoke(
        self, model: str, route: str, body: bytes, *, wait: float | None = None, kind: str = JSON
    ) -> Reply:
        """Raises NotFound (model_not_found), Overloaded, ModelWarming, EngineFailed when no server answers."""

    def stream(
        self, model: str, route: str, body: bytes, *, wait: float | None = None
    ) -> AbstractAsyncContextManager[ReplyStream]:
        """Leaving the context early cancels the generation. A stream that breaks off raises EngineFailed, and so do
        server-sent events that end without having said how (`[DONE]` or an error event)."""

    async def direct(self, model: str) -> DirectAccess:
        """Where an OpenAI client reaches `model` with nothing of this stack in between. Raises NotFound, and
        RequestError where there is no such way."""

    async def deploy(self, model: str) -> None:
        """Makes a registered model answer now; it would come up on its first request anyway."""

    async def undeploy(self, model: str) -> None:
        """Frees what the model holds; it comes up again on a request."""

    async def live(self) -> list[str]:
        """Names of the models that are up."""

    async def close(self) -> None: ...


class Order(msgspec.Struct, frozen=True):
    """Work that a model has been handed: where it was put, and where its answer or its failure will be. `at` is when,
    in Unix seconds."""

    question: str
    output: str
    failure: str
    at: float


class Outcome(msgspec.Struct, frozen=True):
    """The answer's body as it is read, and when it was there, in Unix seconds."""

    content: Iterator[bytes]
    at: float


class LongWork(Protocol):
    """The side of a ModelHost that takes work which outlasts the process that asks. All but `order` wait on a store."""

    async def order(self, model: str, route: str, body: bytes, *, kind: str = JSON) -> Order:
        """Hands it over, and returns once it is taken. Raises what `ModelHost.invoke` does, and RequestError for a
        model that answers at once."""

    def outcome(self, order: Order) -> Outcome | None:
        """None where there is none yet. Raises ModelFailed for work that failed, and once there will be none."""

    def withdraw(self, order: Order) -> None:
        """What hasn't begun won't, and what it came to is thrown away; what has begun goes on to its end."""


class Passage(msgspec.Struct, frozen=True):
    """The characters [start, end) of a file's text, which are `text`."""

    start: int
    end: int
    text: str


class IndexedFile(msgspec.Struct, frozen=True):
    """What an index tells of the file that a passage is of, and filters go by."""

    id: str
    name: str
    attributes: Mapping[str, Value]


class Hit(msgspec.Struct, frozen=True):
    """`number` is the passage's own among its store's. A higher `score` is a better one."""

    file: IndexedFile
    number: int
    passage: Passage
    score: float


class VectorIndex(Protocol):
    """Passages of files in stores, found by vectors and by words. A store is there from its first file on, and one
    that isn't is empty. A write is durable once it returns, and is seen whole or not at all.

    Vectors are little-endian float32, one after the other, of whatever length: they compare by their cosine. All of a
    store's have the same number of dimensions; others raise RequestError, as does an unfit id."""

    def put(
        self, store: str, file: IndexedFile, passages: Sequence[Passage], vectors: bytes, owners: Sequence[int]
    ) -> int:
        """A file's passages, instead of those that it had. `owners` tells per vector which of `passages` it is of; a
        passage has one or more. Returns the bytes that all of it takes."""

    def describe(self, store: str, file: IndexedFile) -> None:
        """Another name and other attributes for a file; nothing happens where it isn't there."""

    def remove(self, store: str, file: str) -> None:
        """Nothing happens where it isn't there."""

    def drop(self, store: str) -> None:
        """The store with all its files."""

    def passages(self, store: str, file: str) -> list[Passage]:
        """A file's, in their order."""

    def nearest(self, store: str, vector: bytes, limit: int, filter: Filter | None = None) -> list[Hit]:
        """The passages with the vectors closest to `vector`, best first; the score is the cosine."""

    def matching(self, store: str, text: str, limit: int, filter: Filter | None = None) -> list[Hit]:
        """The passages that have words of `text`, best first; the score is BM25's."""

    def close(self) -> None: ...


class DocumentReader(Protocol):
    async def read(self, name: str, content: Iterator[bytes]) -> str:
        """The text of a document, whose kind its name and its first bytes tell. Bounded in time and memory. Raises
        InvalidDocument, whose `code` is "unsupported_file" or "invalid_file"."""


class Services(msgspec.Struct, frozen=True):
    """Everything the service and the client stand on, put together by `wiring`. Without `vectors` and `reader` there
    are no vector stores; `embedders` are the models that may embed for them, None being whichever the registry has.
    `batch_endpoints` are the routes that a batch may be for, as far as `jobs` can run it; None: all. `long_work` is
    the side of `models` that takes work which outlasts this process, where they have one."""

    objects: ObjectStore
    records: RecordStore
    jobs: JobQueue
    registry: ModelRegistry
    models: ModelHost
    vectors: VectorIndex | None = None
    reader: DocumentReader | None = None
    batch_endpoints: tuple[str, ...] | None = None
    embedders: tuple[str, ...] | None = None
    long_work: LongWork | None = None
