"""ObjectStore on S3: one bucket, its keys as they are, so that `s3://bucket/key` means the same to every program.

The SHA-256 of the content is in the object's metadata. For what is put in parts it is known only at the end, when S3
takes no metadata any more: then the finished object is copied onto itself with it, inside S3, and only if it is still
the one that was put. An object that carries none (another program put it) is read once to find out.
"""

from __future__ import annotations

import builtins
import hashlib
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import chain
from typing import Any

from genai_stack.errors import ObjectNotFound, RequestError, TooLarge
from genai_stack.ports import ObjectInfo

from . import session
from .faults import code_of, translated, unreachable

MAX_KEY_BYTES = 1024
CHUNK = 1 << 20
PART = 8 << 20
"""Bytes of a part, and of what is put in one request. S3 asks for 5 MiB at least."""
PARTS_PER_SIZE = 2500
MAX_PARTS = 10_000
"""S3's own limit. Every 2,500 parts the size doubles, which makes room for 293 GiB."""
AT_ONCE = 4
"""Parts under way at a time. A put holds AT_ONCE + 1 parts in memory: 40 MiB, for objects under 20 GiB."""
COPY_BYTES = 256 << 20
"""What one copy request moves; larger objects are copied in parts of this size, or of a 10,000th."""
HEADS = 16
"""Objects of a listing that are looked at in parallel: a listing alone has no metadata."""
DIGEST = "sha256"
UNSPEAKABLE = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ud800-\\udfff\\ufffe\\uffff]")
"""What XML 1.0 has no way to say (its production 2, Char)."""


class S3Objects:
    """Safe from any thread and any number of machines; of two puts of one key the later one stays.

    A key is 1 to 1024 bytes of UTF-8 without `.` and `..` between its slashes (RequestError): S3 refuses some of
    those, and what speaks HTTP on the way may take them for a path. `list` takes one HEAD request per object.
    """

    def __init__(self, bucket: str, *, client: Any = None) -> None:
        self.bucket = bucket
        self._client = client or session.client("s3")
        self._name = f"the bucket {bucket}"

    def put(self, key: str, data: bytes | Iterable[bytes]) -> ObjectInfo:
        """When `data` raises, nothing has changed and nothing is left behind. Raises TooLarge over 293 GiB."""
        _check(key)
        parts = _parts((data,) if isinstance(data, bytes) else data)
        first, second = next(parts, b""), next(parts, None)
        with translated("s3", self._name):
            if second is None:
                size, digest = len(first), hashlib.sha256(first).hexdigest()
                self._client.put_object(Bucket=self.bucket, Key=key, Body=first, Metadata={DIGEST: digest})
            else:
                size, digest = self._put_parts(key, chain((first, second), parts))
        try:
            modified = self.head(key).modified
        except ObjectNotFound:  # deleted already
            modified = time.time()
        return ObjectInfo(key, size, digest, modified)

    def get(self, key: str) -> bytes:
        return b"".join(self.read(key))

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        if end is not None and end <= start:
            self.head(key)
            return iter(())
        chunks = self._chunks(key, start, end)
        next(
            chunks
        )  # opens the object; from here on the generator owns its body, and closes it when it is dropped
        return chunks

    def head(self, key: str) -> ObjectInfo:
        _check(key)
        with translated("s3", self._name):
            try:
                reply = self._client.head_object(Bucket=self.bucket, Key=key)
            except self._client.exceptions.ClientError as error:
                if code_of(error) != "404":
                    raise
                self._list(Prefix=key, MaxKeys=1)  # a HEAD can't say that it is the bucket that is missing
                raise _absent(key) from None
        digest = reply["Metadata"].get(DIGEST) or self._digest(key)
        return ObjectInfo(key, reply["ContentLength"], digest, reply["LastModified"].timestamp())

    def list(
        self, prefix: str = "", *, after: str | None = None, limit: int = 1000
    ) -> builtins.list[ObjectInfo]:
        if limit <= 0 or not _utf8(prefix):
            return []
        keys = self._keys(prefix, after or "", limit)
        with ThreadPoolExecutor(min(HEADS, len(keys) or 1)) as pool:
            return [info for info in pool.map(self._head_if_there, keys) if info is not None]

    def delete(self, key: str) -> None:
        _check(key)
        with translated("s3", self._name):
            self._client.delete_object(Bucket=self.bucket, Key=key)

    def address(self, key: str) -> str:
        self.head(key)
        return f"s3://{self.bucket}/{key}"

    def close(self) -> None:
        """Closes idle connections; the store opens new ones on use."""
        self._client.close()

    def _open(self, key: str, start: int, end: int | None, **only: str) -> dict[str, Any] | None:
        """S3's answer, with the body from `start` on; None when the object ends before that."""
        _check(key)
        if start or end is not None:
            only["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        with translated("s3", self._name):
            try:
                return dict(self._client.get_object(Bucket=self.bucket, Key=key, **only))
            except self._client.exceptions.ClientError as error:
                if code_of(error) in ("InvalidRange", "416"):
                    return None
                if code_of(error) == "404":  # a key that no XML can spell, and so neither can S3's answer
                    self._list(Prefix=key, MaxKeys=1)
                if code_of(error) in ("NoSuchKey", "404"):
                    raise _absent(key) from None
                raise

    def _chunks(self, key: str, start: int, end: int | None) -> Iterator[bytes]:
        """An empty chunk once the object is open, then its content. A body that breaks off is asked for again from
        there on, as long as the object is the same and each attempt gets on."""
        from botocore.exceptions import BotoCoreError

        reply = self._open(key, start, end)
        yield b""
        failures = 0
        while reply is not None:
            with closing(reply["Body"]) as body:
                try:
                    while chunk := body.read(CHUNK):
                        start, failures = start + len(chunk), 0
                        yield chunk
                    return
                except BotoCoreError as error:
                    failures += 1
                    if failures == session.ATTEMPTS:
                        raise unreachable(f"{self._name} breaks off answers", error) from error
            reply = self._open(key, start, end, IfMatch=reply["ETag"])

    def _keys(self, prefix: str, after: str, limit: int) -> builtins.list[str]:
        keys: builtins.list[str] = []
        # What sorts after a text sorts after its beginning, too; S3 says the text again in its XML.
        start = UNSPEAKABLE.split(after, maxsplit=1)[0]
        more: dict[str, Any] = {"StartAfter": start[:255]} if start else {}
        while len(keys) < limit:
            page = self._list(Prefix=prefix, MaxKeys=min(limit - len(keys) + 1, 1000), **more)
            keys += (entry["Key"] for entry in page.get("Contents", ()) if entry["Key"] > after)
            if not page["IsTruncated"]:
                break
            more = {"ContinuationToken": page["NextContinuationToken"]}
        return keys[:limit]

    def _list(self, **asked: Any) -> dict[str, Any]:
        with translated("s3", self._name):
            page: dict[str, Any] = self._client.list_objects_v2(Bucket=self.bucket, **asked)
        return page

    def _head_if_there(self, key: str) -> ObjectInfo | None:
        try:
            return self.head(key)
        except (
            ObjectNotFound,
            RequestError,
        ):  # deleted meanwhile; or put by another program under a key of its own
            return None

    def _digest(self, key: str) -> str:
        digest = hashlib.sha256()
        for chunk in self.read(key):
            digest.update(chunk)
        return digest.hexdigest()

    def _put_parts(self, key: str, parts: Iterable[bytes]) -> tuple[int, str]:
        """Size and digest of what was put."""
        where = {"Bucket": self.bucket, "Key": key}
        upload = {**where, "UploadId": self._client.create_multipart_upload(**where)["UploadId"]}
        digest, size = hashlib.sha256(), 0

        def measured() -> Iterator[dict[str, Any]]:
            nonlocal size
            for part in parts:
                digest.update(part)
                size += len(part)
                yield {"Body": part}

        done = self._complete(upload, self._client.upload_part, measured())
        self._describe(key, done["ETag"], digest.hexdigest(), size)
        return size, digest.hexdigest()

    def _describe(self, key: str, etag: str, digest: str, size: int) -> None:
        """Gives the object of that ETag its digest, unless another one has taken its place."""
        where, source = {"Bucket": self.bucket, "Key": key}, {"Bucket": self.bucket, "Key": key}
        metadata, only = {DIGEST: digest}, {"CopySource": source, "CopySourceIfMatch": etag}
        try:
            if size <= COPY_BYTES:
                self._client.copy_object(**where, **only, MetadataDirective="REPLACE", Metadata=metadata)
                return
            created = self._client.create_multipart_upload(**where, Metadata=metadata)
            step = max(COPY_BYTES, -(-size // MAX_PARTS))
            spans = (f"bytes={at}-{min(at + step, size) - 1}" for at in range(0, size, step))
            copies = ({**only, "CopySourceRange": span} for span in spans)
            upload = {**where, "UploadId": created["UploadId"]}
            self._complete(upload, self._client.upload_part_copy, copies)
        except self._client.exceptions.ClientError as error:
            if code_of(error) not in ("PreconditionFailed", "412", "NoSuchKey"):
                raise

    def _complete(self, upload: dict[str, Any], send: Any, requests: Iterator[dict[str, Any]]) -> Any:
        """Sends the parts, AT_ONCE at a time, and makes an object of them; aborts the upload when anything fails."""
        sent: builtins.list[dict[str, Any]] = []
        waiting: deque[Future[Any]] = deque()

        def take() -> None:
            reply = waiting.popleft().result()
            reply = reply.get("CopyPartResult", reply)
            sent.append({"ETag": reply["ETag"], "PartNumber": len(sent) + 1} | _checksums(reply))

        with ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                for number, request in enumerate(requests, 1):
                    waiting.append(pool.submit(send, **upload, **request, PartNumber=number))
                    if len(waiting) == AT_ONCE:
                        take()
                while waiting:
                    take()
            except BaseException:
                pool.shutdown(
                    cancel_futures=True
                )  # a part that arrives after the abort would stay, and be paid for
                self._abort(upload)
                raise
        try:
            return self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": sent})
        except BaseException:
            self._abort(upload)
            raise

    def _abort(self, upload: dict[str, Any]) -> None:
        """As far as that is possible: what broke the upload matters more, and the bucket's rule clears the rest."""
        from botocore.exceptions import BotoCoreError, ClientError

        with suppress(BotoCoreError, ClientError):
            self._client.abort_multipart_upload(**upload)


def _parts(data: Iterable[bytes]) -> Iterator[bytes]:
    """`data` in pieces as S3 wants its parts: all of one size but the last."""
    buffer, number = bytearray(), 0
    for piece in data:
        view = memoryview(piece)
        while len(view):
            size = PART << number // PARTS_PER_SIZE
            taken = view[: size - len(buffer)]
            buffer += taken
            view = view[len(taken) :]
            if len(buffer) == size:
                number += 1
                if number > MAX_PARTS:
                    raise TooLarge("an object is at most 293 GiB here; put it in pieces, under a key each")
                yield bytes(buffer)
                buffer.clear()
    if buffer:
        yield bytes(buffer)


def _checksums(reply: dict[str, Any]) -> dict[str, Any]:
    """What a part's answer says about its content; S3 compares it when it joins the parts."""
    return {
        name: value for name, value in reply.items() if name.startswith("Checksum") and name != "ChecksumType"
    }


def _utf8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _check(key: str) -> None:
    if not _utf8(key):
        raise RequestError("an object's key is UTF-8 text; this one holds a lone surrogate")
    size = len(key.encode())
    if not 0 < size <= MAX_KEY_BYTES:
        raise RequestError(f"an object's key has 1 to {MAX_KEY_BYTES} bytes, this one {size}; choose another")
    if any(segment in (".", "..") for segment in key.split("/")):
        raise RequestError(
            f"S3 takes no key with '.' or '..' between slashes, as {key[:200]!r}; choose another"
        )


def _absent(key: str) -> ObjectNotFound:
    return ObjectNotFound(f"no object under {key[:200]!r}; list the prefix to see what there is")
