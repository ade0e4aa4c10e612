"""VectorIndex on S3 Vectors: an index for each store, vectors and words found by the service itself.

Words are searched by its own BM25 (QueryVectors with `queryTexts`, on a metadata key that the index is told to search),
over words that are folded here as SQLite's are. botocore's service model 2025-07-15 is the source of the shapes and of
500 vectors to a put, 500 keys to a deletion and 100 to a look; the S3 user guide of 40 KB of metadata to a vector, of
them 2 KB that filters see, and of 20 MiB to a request. A bucket made since October 2026 has indexes in ENHANCED mode
alone, which filters before it searches.

Which files there are, and their attributes, stand in the records (vector_files.py); passages as a whole in the object
store. A filter is worked out over the records, and asked as the puts that pass, so that it means here what it means on
a laptop.
"""

from __future__ import annotations

import math
import secrets
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from genai_stack import names
from genai_stack.errors import Conflict, ObjectNotFound
from genai_stack.ports import Hit, IndexedFile, ObjectStore, Passage, RecordStore
from genai_stack.protocol.filters import Filter, passes
from genai_stack.vectors import WIDTH, bad_vector, bytes_of, checked, wrong_size
from genai_stack.words import plain, telling, words

from . import session
from .faults import translated
from .vector_files import Index, Put, VectorFiles

TOP = 100
"""Vectors that one query asks for."""
PUTS = 200
"""Puts that one query's filter names."""
PUT_VECTORS, DELETE_KEYS, GET_KEYS = 500, 500, 100
REQUEST_BYTES = 8 << 20
"""Of vectors in a request, by their length as JSON."""
TEXT_BYTES, WORDS_BYTES = 20_000, 14_000
"""Of a passage beside its vector. A longer text is read from the object store; of more words each stands once."""
QUESTION = 1024
"""Characters of a question, by the service model."""
TRIES = 5
WORDS = "words"
SEEN = ("put", "passage")
"""What filters see; the rest is only told."""


class _Row(NamedTuple):
    """A vector that was found: of the passage `n` of a put, which has its text by the vector `first`."""

    put: str
    n: int
    first: int
    file: str
    score: float
    told: dict[str, Any]


class S3Vectors:
    """Safe from any thread and any number of machines."""

    def __init__(self, bucket: str, records: RecordStore, objects: ObjectStore, *, client: Any = None) -> None:
        self._bucket, self._objects = bucket, objects
        self._files = VectorFiles(records)
        self._client = client or session.client("s3vectors")
        self._name = f"the vector bucket {bucket}"

    def put(
        self, store: str, file: IndexedFile, passages: Sequence[Passage], vectors: bytes, owners: Sequence[int]
    ) -> int:
        checked(store, "a store")
        checked(file.id, "a file")
        if not owners or len(vectors) % (WIDTH * len(owners)):
            raise wrong_size(len(vectors), 0)
        dimensions = len(vectors) // (WIDTH * len(owners))
        rows = [_floats(vectors, at, dimensions) for at in range(len(owners))]
        whole = [Passage(p.start, p.end, bytes_of(p.text).decode()) for p in passages]
        for _ in range(TRIES):
            index = self._files.opened(store, dimensions, self._make)
            if index.dimensions != dimensions:
                raise wrong_size(dimensions * WIDTH, index.dimensions)
            if self._put(store, index, file, whole, rows, owners):
                return len(vectors) + sum(len(bytes_of(passage.text)) for passage in passages)
        raise Conflict(f"{file.id} is put into {store} by others at the same time; try again")

    def describe(self, store: str, file: IndexedFile) -> None:
        self._files.describe(checked(store, "a store"), file)

    def remove(self, store: str, file: str) -> None:
        if left := self._files.hide(checked(store, "a store"), file):
            index = self._files.index(store)
            for put in left:
                self._clear(store, index, put)
            self._files.remove(store, file, left)

    def drop(self, store: str) -> None:
        index = self._files.index(checked(store, "a store"))
        if index is None:
            return
        with translated("s3vectors", self._name), suppress(self._client.exceptions.NotFoundException):
            self._client.delete_index(**self._at(index))
        while found := self._objects.list(names.passages(store)):
            for info in found:
                self._objects.delete(info.key)
        self._files.forget(store)

    def passages(self, store: str, file: str) -> list[Passage]:
        entry = self._files.get(checked(store, "a store"), file)
        if entry is None or entry.counts is None:
            return []
        return self._read(store, entry.counts.mark)

    def nearest(self, store: str, vector: bytes, limit: int, filter: Filter | None = None) -> list[Hit]:
        index = self._files.index(checked(store, "a store"))
        if index is None:
            return []
        if len(vector) != WIDTH * index.dimensions:
            raise wrong_size(len(vector), index.dimensions)
        asked = {"queryVector": {"float32": _floats(vector, 0, index.dimensions)}, "returnDistance": True}
        return self._search(store, index, asked, limit, filter)

    def matching(self, store: str, text: str, limit: int, filter: Filter | None = None) -> list[Hit]:
        index = self._files.index(checked(store, "a store"))
        question = plain(" ".join(telling(text)))
        if len(question) > QUESTION:
            question = question[: QUESTION + 1].rpartition(" ")[0] or question[:QUESTION]
        if index is None or not question:
            return []
        asked = {"queryTexts": [{"text": question, "metadataKey": WORDS}], "returnScores": True}
        return self._search(store, index, asked, limit, filter)

    def close(self) -> None:
        """Closes idle connections; the index opens new ones on use."""
        self._client.close()

    def _at(self, index: Index) -> dict[str, str]:
        return {"vectorBucketName": self._bucket, "indexName": index.name}

    def _make(self, index: Index) -> None:
        with translated("s3vectors", self._name), suppress(self._client.exceptions.ConflictException):
            self._client.create_index(
                **self._at(index),
                dataType="float32",
                dimension=index.dimensions,
                distanceMetric="cosine",
                metadataConfiguration={
                    "nonFilterableMetadataKeys": [WORDS, "text", "file", "n", "first", "start", "end"],
                    "textSearchConfigurations": [{"metadataKey": WORDS}],
                },
            )

    def _put(
        self,
        store: str,
        index: Index,
        file: IndexedFile,
        passages: Sequence[Passage],
        rows: list[list[float]],
        owners: Sequence[int],
    ) -> bool:
        """False where another put of the file, or a drop of the store, came in between."""
        put = Put(secrets.token_hex(8), len(rows))
        for old in self._files.begin(store, file, put):
            self._clear(store, index, old)
        self._objects.put(names.passages(store, put.mark), msgspec.json.encode(passages))
        try:
            with translated("s3vectors", self._name):
                for batch in _batches(_vectors(put.mark, file.id, passages, rows, owners)):
                    self._client.put_vectors(**self._at(index), vectors=batch)
        except Exception:
            if self._files.index(store) != index:
                return False
            raise
        done, replaced = self._files.finish(store, file, put)
        if not done or self._files.index(store) != index:
            self._clear(store, index, put)
            return False
        if replaced is not None:
            self._clear(store, index, replaced)
            self._files.cleared(store, file.id, replaced)
        return True

    def _clear(self, store: str, index: Index | None, put: Put) -> None:
        """Nothing happens where it is gone."""
        with translated("s3vectors", self._name):
            for first in range(0, put.vectors if index else 0, DELETE_KEYS):
                keys = [f"{put.mark}/{n}" for n in range(first, min(first + DELETE_KEYS, put.vectors))]
                try:
                    self._client.delete_vectors(**self._at(index), keys=keys)  # type: ignore[arg-type]
                except self._client.exceptions.NotFoundException:
                    break
        self._objects.delete(names.passages(store, put.mark))

    def _read(self, store: str, mark: str) -> list[Passage]:
        try:
            return msgspec.json.decode(self._objects.get(names.passages(store, mark)), type=list[Passage])
        except ObjectNotFound:  # removed meanwhile
            return []

    def _search(
        self, store: str, index: Index, asked: dict[str, Any], limit: int, filter: Filter | None
    ) -> list[Hit]:
        parts: Iterable[list[str] | None] = [None]
        if filter is not None:
            passing = [
                entry.counts.mark
                for _, entry in self._files.all(store)
                if entry.counts and passes(filter, entry.attributes)
            ]
            parts = [passing[at : at + PUTS] for at in range(0, len(passing), PUTS)]
        there: dict[str, tuple[str, IndexedFile] | None] = {}
        rows: list[_Row] = []
        try:
            for part in parts:
                rows += self._rows(store, index, asked, limit, part, there)
        except (
            self._client.exceptions.NotFoundException
        ):  # of the index; dropped meanwhile, unless the bucket is
            if self._files.index(store) == index:
                with translated("s3vectors", self._name):
                    raise
            return []
        rows.sort(key=lambda row: -row.score)
        return self._hits(store, index, rows[:limit], there)

    def _rows(
        self,
        store: str,
        index: Index,
        asked: dict[str, Any],
        limit: int,
        puts: list[str] | None,
        there: dict[str, tuple[str, IndexedFile] | None],
    ) -> list[_Row]:
        """The best row of each of the best `limit` passages. Asks again, without what it has seen, as long as rows of
        passages that it has, or of puts that don't count, took others' places. `there` keeps the files looked up."""
        best: dict[str, _Row] = {}
        stale: set[str] = set()
        while True:
            conditions: list[dict[str, Any]] = [{"put": {"$in": puts}}] if puts else []
            conditions += [{"put": {"$nin": sorted(stale)}}] if stale else []
            conditions += [{"passage": {"$nin": list(best)}}] if best else []
            only = {} if not conditions else conditions[0] if len(conditions) == 1 else {"$and": conditions}
            with_filter = {"filter": only} if only else {}
            found = self._query(index, {**asked, **with_filter})
            for row in found:
                if row.file not in there:
                    entry = self._files.get(store, row.file)
                    there[row.file] = (
                        (entry.counts.mark, IndexedFile(row.file, entry.name, entry.attributes))
                        if entry and entry.counts
                        else None
                    )
                known = there[row.file]
                if known is None or known[0] != row.put:
                    stale.add(row.put)
                else:
                    best.setdefault(f"{row.put}/{row.n}", row)
            if len(best) >= limit or len(found) < TOP:
                return list(best.values())[:limit]

    def _query(self, index: Index, asked: dict[str, Any]) -> list[_Row]:
        missing = self._client.exceptions.NotFoundException
        refused: Exception | None = None
        found: list[_Row] = []
        page: dict[str, str] = {}
        asked = {**self._at(index), "topK": TOP, "returnMetadata": True, **asked}
        with translated("s3vectors", self._name):
            try:
                while True:
                    reply = self._client.query_vectors(**asked, **page)
                    found += map(_row, reply["vectors"])
                    if not (token := reply.get("nextToken")):
                        break
                    page = {"nextToken": token}
            except missing as error:
                refused = error
        if refused is not None:
            raise refused
        return found

    def _hits(
        self,
        store: str,
        index: Index,
        rows: list[_Row],
        there: dict[str, tuple[str, IndexedFile] | None],
    ) -> list[Hit]:
        """With their texts: a passage's first vector has it, or the object store. Without what was removed
        meanwhile."""
        told = {f"{row.put}/{row.first}": row.told for row in rows if "text" in row.told}
        wanted = list(dict.fromkeys(key for row in rows if (key := f"{row.put}/{row.first}") not in told))
        with translated("s3vectors", self._name):
            for at in range(0, len(wanted), GET_KEYS):
                keys = wanted[at : at + GET_KEYS]
                reply = self._client.get_vectors(**self._at(index), keys=keys, returnMetadata=True)
                told |= {vector["key"]: vector["metadata"] for vector in reply["vectors"]}
        whole: dict[str, list[Passage]] = {}
        hits = []
        for row in rows:
            metadata, known = told.get(f"{row.put}/{row.first}"), there[row.file]
            if metadata is None or known is None:
                continue
            if "text" in metadata:
                passage = Passage(int(row.told["start"]), int(row.told["end"]), metadata["text"])
            else:
                if row.put not in whole:
                    whole[row.put] = self._read(store, row.put)
                if row.n >= len(whole[row.put]):
                    continue
                passage = whole[row.put][row.n]
            hits.append(Hit(known[1], (int(row.put, 16) << 32) + row.n, passage, row.score))
        return hits


def _vectors(
    mark: str, file: str, passages: Sequence[Passage], rows: list[list[float]], owners: Sequence[int]
) -> Iterator[dict[str, Any]]:
    first: dict[int, int] = {}
    for at, (row, n) in enumerate(zip(rows, owners, strict=True)):
        passage = passages[n]
        told: dict[str, Any] = {
            "put": mark, "passage": f"{mark}/{n}", "file": file, "n": n, "first": first.setdefault(n, at),
            "start": passage.start, "end": passage.end,
        }  # fmt: skip
        if first[n] == at:
            if len(passage.text.encode()) <= TEXT_BYTES:
                told["text"] = passage.text
            told[WORDS] = _searched(passage.text)
        yield {"key": f"{mark}/{at}", "data": {"float32": row}, "metadata": told}


def _searched(text: str) -> str:
    found = [plain(word) for word in words(text)]
    if len(" ".join(found).encode()) > WORDS_BYTES:
        found = list(dict.fromkeys(found))
    return " ".join(found).encode()[:WORDS_BYTES].decode(errors="ignore")


def _batches(vectors: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for vector in vectors:
        told = vector["metadata"]
        here = (
            24 * len(vector["data"]["float32"]) + 6 * len(told.get("text", "")) + 6 * len(told.get(WORDS, ""))
        )
        if batch and (len(batch) == PUT_VECTORS or size + here > REQUEST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(vector)
        size += here
    yield batch


def _row(vector: dict[str, Any]) -> _Row:
    told = vector["metadata"]
    if "distance" in vector:
        score = 1.0 - float(vector["distance"])
    else:
        score = sum(float(one["score"]) for one in vector["scores"]["bm25Scores"])
    return _Row(told["put"], int(told["n"]), int(told["first"]), told["file"], score, told)


def _floats(vectors: bytes, row: int, dimensions: int) -> list[float]:
    """As the service takes them. Raises RequestError for what isn't finite, and for nothing but zeros."""
    numbers = array("f", vectors[row * dimensions * WIDTH : (row + 1) * dimensions * WIDTH]).tolist()
    if not all(map(math.isfinite, numbers)):
        raise bad_vector("a vector isn't finite")
    if not any(numbers):
        raise bad_vector("a vector has nothing but zeros, which has no direction")
    return numbers
