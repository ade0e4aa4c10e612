"""S3 Vectors on this machine: what moto has no search for. It holds requests to the service model that botocore ships
(lengths, ranges, members), and to the user guide's limits, and refuses as the service does."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

import botocore.session

FILTERABLE_BYTES, METADATA_BYTES, METADATA_KEYS, MOST = 2048, 40 * 1024, 50, 100
_COMPARED = {
    "$eq": lambda have, want: have == want,
    "$ne": lambda have, want: have != want,
    "$in": lambda have, want: have in want,
    "$nin": lambda have, want: have not in want,
}


class Refused(Exception):
    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


def invalid(message: str) -> Refused:
    return Refused(400, "ValidationException", message)


class VectorsStandIn:
    """`buckets` have indexes, each with what it was created with and its vectors by key. Indexes are in ENHANCED mode.
    Answers to questions come in pages of `page`. Not safe from several threads at once."""

    page = MOST

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, Any]] = {}
        self._model = botocore.session.get_session().get_service_model("s3vectors")

    def respond(self, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        operation = path.strip("/")
        try:
            told = json.loads(body or b"{}")
            _fits(self._model.operation_model(operation).input_shape, told, operation)
            reply = getattr(self, re.sub(r"(?<!^)([A-Z])", r"_\1", operation).lower())(**told)
        except Refused as refused:
            headers = {"content-type": "application/json", "x-amzn-errortype": refused.kind}
            return refused.status, headers, json.dumps({"message": refused.message}).encode()
        return 200, {"content-type": "application/json"}, json.dumps(reply or {}).encode()

    def create_vector_bucket(self, vectorBucketName: str, **_: Any) -> Any:
        if vectorBucketName in self.buckets:
            raise Refused(409, "ConflictException", "A vector bucket with the specified name already exists")
        self.buckets[vectorBucketName] = {}
        return {"vectorBucketArn": f"arn:aws:s3vectors:eu-central-1:123456789012:bucket/{vectorBucketName}"}

    def create_index(self, vectorBucketName: str, indexName: str, **told: Any) -> Any:
        self._bucket(vectorBucketName)
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", indexName):
            raise invalid("Invalid index name")
        if indexName in self.buckets[vectorBucketName]:
            raise Refused(409, "ConflictException", "An index with the specified name already exists")
        self.buckets[vectorBucketName][indexName] = {**told, "vectors": {}}
        return {"indexArn": f"arn:aws:s3vectors:eu-central-1:1:bucket/{vectorBucketName}/index/{indexName}"}

    def get_vector_bucket(self, vectorBucketName: str) -> Any:
        self._bucket(vectorBucketName)
        return {"vectorBucket": {"vectorBucketName": vectorBucketName}}

    def delete_vector_bucket(self, vectorBucketName: str) -> None:
        if self._bucket(vectorBucketName):
            raise Refused(409, "ConflictException", "The specified vector bucket is not empty")
        del self.buckets[vectorBucketName]

    def list_indexes(self, vectorBucketName: str, nextToken: str = "0") -> Any:
        """One a page."""
        found, at = sorted(self._bucket(vectorBucketName)), int(nextToken)
        more = {"nextToken": str(at + 1)} if at + 1 < len(found) else {}
        return {"indexes": [{"indexName": name} for name in found[at : at + 1]], **more}

    def _bucket(self, name: str) -> Any:
        if name not in self.buckets:
            raise Refused(404, "NotFoundException", "The specified vector bucket could not be found")
        return self.buckets[name]

    def delete_index(self, vectorBucketName: str, indexName: str) -> None:
        self._index(vectorBucketName, indexName)
        del self.buckets[vectorBucketName][indexName]

    def put_vectors(self, vectorBucketName: str, indexName: str, vectors: list[Any]) -> None:
        index = self._index(vectorBucketName, indexName)
        hidden = index["metadataConfiguration"]["nonFilterableMetadataKeys"]
        for vector in vectors:
            _checked(vector["data"]["float32"], index)
            metadata = vector.get("metadata", {})
            seen = {key: value for key, value in metadata.items() if key not in hidden}
            if len(json.dumps(metadata, ensure_ascii=False).encode()) > METADATA_BYTES:
                raise invalid("Invalid record: total metadata must have at most 40960 bytes")
            if len(json.dumps(seen).encode()) > FILTERABLE_BYTES:
                raise invalid("Invalid record: filterable metadata must have at most 2048 bytes")
            if len(metadata) > METADATA_KEYS or not all(
                isinstance(v, str | int | float) for v in metadata.values()
            ):
                raise invalid("Invalid record: metadata")
        index["vectors"] |= {vector["key"]: vector for vector in vectors}

    def delete_vectors(self, vectorBucketName: str, indexName: str, keys: list[str]) -> None:
        index = self._index(vectorBucketName, indexName)
        for key in keys:
            index["vectors"].pop(key, None)

    def get_vectors(self, vectorBucketName: str, indexName: str, keys: list[str], returnMetadata: bool) -> Any:
        there = self._index(vectorBucketName, indexName)["vectors"]
        return {"vectors": [{"key": k, "metadata": there[k]["metadata"]} for k in keys if k in there]}

    def query_vectors(
        self,
        vectorBucketName: str,
        indexName: str,
        topK: int,
        filter: Any = None,
        queryVector: Any = None,
        queryTexts: Any = None,
        returnMetadata: bool = False,
        returnDistance: bool = False,
        returnScores: bool = False,
        nextToken: str = "0",
    ) -> Any:
        index = self._index(vectorBucketName, indexName)
        if topK > MOST:
            raise invalid(f"topK must be at most {MOST}")
        hidden = index["metadataConfiguration"]["nonFilterableMetadataKeys"]
        passing = [
            v for v in index["vectors"].values() if filter is None or _passes(filter, v["metadata"], hidden)
        ]
        found: list[tuple[float, dict[str, Any]]]
        if queryVector is not None:
            asked = _checked(queryVector["float32"], index)
            found = [(_distance(asked, v["data"]["float32"]), v) for v in passing]
            found.sort(key=lambda pair: pair[0])
        elif queryTexts:
            (question,) = queryTexts
            found = self._matching(index, question, passing)
        else:
            raise invalid("queryVector or queryTexts is required")
        told = []
        for value, vector in found[:topK]:
            one: dict[str, Any] = {"key": vector["key"]}
            if returnMetadata:
                one["metadata"] = vector["metadata"]
            if queryVector is not None and returnDistance:
                one["distance"] = value
            elif returnScores and queryTexts:
                one["scores"] = {"bm25Scores": [{"metadataKey": queryTexts[0]["metadataKey"], "score": -value}]}
            told.append(one)
        at = int(nextToken)
        more = {"nextToken": str(at + self.page)} if at + self.page < len(told) else {}
        return {"vectors": told[at : at + self.page], "distanceMetric": "cosine", **more}

    def _matching(self, index: Any, question: Any, passing: list[Any]) -> list[tuple[float, dict[str, Any]]]:
        """Okapi BM25 with k1 1.2 and b 0.75; any word of the question will do."""
        key = question["metadataKey"]
        if key not in [
            one["metadataKey"] for one in index["metadataConfiguration"]["textSearchConfigurations"]
        ]:
            raise invalid(f"{key} isn't searchable")
        texts = {
            k: re.findall(r"\w+", str(v["metadata"].get(key, "")).lower()) for k, v in index["vectors"].items()
        }
        texts = {k: found for k, found in texts.items() if found}
        mean = sum(map(len, texts.values())) / max(len(texts), 1)
        has = Counter(word for found in texts.values() for word in set(found))
        scored = []
        for vector in passing:
            found, score = texts.get(vector["key"], []), 0.0
            for word in set(re.findall(r"\w+", question["text"].lower())):
                if count := found.count(word):
                    rarity = math.log(1 + (len(texts) - has[word] + 0.5) / (has[word] + 0.5))
                    score += rarity * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * len(found) / mean))
            if score:
                scored.append((-score, vector))
        return sorted(scored, key=lambda pair: pair[0])

    def _index(self, bucket: str, name: str) -> Any:
        if name not in self.buckets.get(bucket, {}):
            raise Refused(404, "NotFoundException", "The specified index could not be found")
        return self.buckets[bucket][name]


def _checked(numbers: list[float], index: Any) -> list[float]:
    if len(numbers) != index["dimension"]:
        raise invalid(f"vector must have length {index['dimension']}, but has length {len(numbers)}")
    if not all(map(math.isfinite, numbers)) or not any(numbers):
        raise invalid("Cosine distance metric doesn't allow zero vectors; values must be finite")
    return numbers


def _distance(one: list[float], other: list[float]) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return 1.0 - dot / math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))


def _passes(filter: Any, metadata: Any, hidden: list[str]) -> bool:
    (name, told), *more = filter.items()
    if more:
        raise invalid("Invalid filter: one key at a time; join them by $and")
    if name in ("$and", "$or"):
        if not told:
            raise invalid(f"Invalid filter: {name} of nothing")
        inner = [_passes(one, metadata, hidden) for one in told]
        return all(inner) if name == "$and" else any(inner)
    if name in hidden:
        raise invalid(f"Invalid filter: {name} isn't filterable")
    ((operator, want),) = told.items()
    if operator not in _COMPARED or (isinstance(want, list) and not want):
        raise invalid(f"Invalid filter: {operator}")
    return _COMPARED[operator](metadata.get(name), want)


def _fits(shape: Any, value: Any, where: str) -> None:
    """As the service model has it; a document may be anything."""
    if getattr(shape, "is_document_type", False):
        return
    if shape.type_name == "structure":
        if unknown := set(value) - set(shape.members):
            raise invalid(f"{where} has no {unknown}")
        if missing := set(shape.required_members) - set(value):
            raise invalid(f"{where} lacks {missing}")
        for name, inner in value.items():
            _fits(shape.members[name], inner, f"{where}.{name}")
        return
    size = (
        value if shape.type_name in ("integer", "float") else len(value) if hasattr(value, "__len__") else None
    )
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if size is not None and ((low is not None and size < low) or (high is not None and size > high)):
        raise invalid(f"{where} must be between {low} and {high}, is {size}")
    if shape.type_name == "list" and shape.member.type_name != "float":
        for inner in value:
            _fits(shape.member, inner, where)
