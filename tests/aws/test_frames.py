"""The frame reader reads as botocore does, whatever the chunks; what is damaged or cut is never taken for whole."""

from __future__ import annotations

import struct
import uuid
from itertools import pairwise
from typing import Any
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer, ParserError
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_stack.aws.frames import BrokenFrame, Frames, parsed
from tests.aws.runtime_stand_in import PART, exception, frame, part

payloads = st.lists(st.binary(max_size=60), min_size=1, max_size=5)


def pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    return [body[a:b] for a, b in pairwise(at)]


@settings(max_examples=60, deadline=None)
@given(payloads, st.lists(st.integers(0, 10_000), max_size=8))
def test_payloads_are_botocores_however_they_are_cut(parts: list[bytes], cuts: list[int]) -> None:
    body = b"".join(part(one) for one in parts)
    ours, theirs = Frames(), EventStreamBuffer()
    for piece in pieces(body, cuts):
        theirs.add_data(piece)
        assert ours.feed(piece) == b"".join(message.payload for message in theirs)
    assert (ours.pending, ours.fault) == (0, None)


def test_a_frame_split_at_every_byte() -> None:
    body = part('data: {"a": "ü€😀"}\n'.encode()) + part(b"\ndata: [DONE]\n\n")
    for cut in range(len(body)):
        frames = Frames()
        got = frames.feed(body[:cut])
        assert frames.pending == cut - (0 if not got else len(part('data: {"a": "ü€😀"}\n'.encode())))
        assert got + frames.feed(body[cut:]) == 'data: {"a": "ü€😀"}\n\ndata: [DONE]\n\n'.encode()
    frames = Frames()
    assert b"".join(frames.feed(body[at : at + 1]) for at in range(len(body))).endswith(b"[DONE]\n\n")


@settings(max_examples=80, deadline=None)
@given(payloads, st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_noticed(parts: list[bytes], where: int, change: int) -> None:
    body = bytearray(b"".join(part(one) for one in parts))
    body[where % len(body)] ^= change
    frames = Frames()
    try:
        got = frames.feed(bytes(body))
    except BrokenFrame:
        return
    assert b"".join(parts).startswith(got)
    assert frames.pending, "a length that grew waits for bytes that never come"


def test_what_cannot_be_a_frame() -> None:
    def prelude(whole: int, headers: int) -> bytes:
        start = struct.pack("!II", whole, headers)
        return start + struct.pack("!I", crc32(start))

    for bad in (
        prelude(15, 0),
        prelude(20, 5),
        prelude(1 << 31, 0),
        prelude(1 << 20, (1 << 17) + 1),
        b"HTTP/1.1 502 ",
    ):
        with pytest.raises(BrokenFrame):
            Frames().feed(bad + b"\0" * 20)


def test_an_exception_ends_the_stream_after_what_came_before() -> None:
    told = exception("ModelStreamError", Message="gone", ErrorCode="StreamBroken")
    body = part(b"one") + told + part(b"never")
    for cut in range(len(body)):
        frames = Frames()
        assert frames.feed(body[:cut]) + frames.feed(body[cut:]) == b"one"
        assert frames.fault is not None
        assert frames.fault.kind == "ModelStreamError"
        assert b"StreamBroken" in frames.fault.told


def test_an_error_frame_and_an_event_of_another_kind() -> None:
    frames = Frames()
    assert frames.feed(frame({**PART, ":event-type": "Progress"}, b"50 %") + part(b"x")) == b"x"
    assert frames.fault is None
    headers = {":message-type": "error", ":error-code": "InternalError", ":error-message": "An internal error"}
    assert frames.feed(frame(headers, b"")) == b""
    assert frames.fault == ("InternalError", b"An internal error")


kinds: Any = st.one_of(
    st.sampled_from([b"\x00", b"\x01"]),
    st.binary(min_size=1, max_size=1).map(lambda v: b"\x02" + v),
    st.binary(min_size=2, max_size=2).map(lambda v: b"\x03" + v),
    st.binary(min_size=4, max_size=4).map(lambda v: b"\x04" + v),
    st.binary(min_size=8, max_size=8).map(lambda v: b"\x05" + v),
    st.binary(max_size=20).map(lambda v: b"\x06" + struct.pack("!H", len(v)) + v),
    st.text(max_size=10).map(lambda v: b"\x07" + struct.pack("!H", len(v.encode())) + v.encode()),
    st.just(b"\x08" + b"\0" * 8),
    st.just(b"\x09" + uuid.uuid4().bytes),
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=10), kinds, max_size=5), st.integers(0, 200), st.booleans())
def test_headers_of_every_type_are_botocores(headers: dict[str, bytes], cut: int, whole: bool) -> None:
    block = b"".join(bytes([len(n.encode())]) + n.encode() + v for n, v in headers.items())
    if not whole:
        block = block[:cut]
    prelude = struct.pack("!II", 16 + len(block), len(block))
    message = prelude + struct.pack("!I", crc32(prelude)) + block
    theirs = EventStreamBuffer()
    theirs.add_data(message + struct.pack("!I", crc32(message)))
    try:
        (expected,) = [one.headers for one in theirs]
    except (ParserError, struct.error, KeyError, UnicodeDecodeError):
        with pytest.raises(BrokenFrame):
            parsed(block)
        return
    try:
        found = parsed(block)
    except BrokenFrame:
        assert not whole  # botocore takes a value that is cut short
        return
    assert set(found) == set(expected)
    assert all(found[n] in (None, expected[n]) for n in found)
    assert all(found[n] == v for n, v in expected.items() if isinstance(v, str) and n in found and found[n])
