"""Documents to text in a process of its own: every kind that is read, and what goes off."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from genai_stack.documents.reader import ChildReader
from genai_stack.errors import InvalidDocument


async def read(name: str, *content: bytes, **limits: Any) -> str:
    return await ChildReader(**limits).read(name, iter(content))


def pdf(text: bytes, repeat: int = 1) -> bytes:
    """One page that shows `text`."""
    stream = zlib.compress(b"BT /F1 12 Tf 20 100 Td (" + text + b") Tj ET\n" * repeat)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<</Type/Page/Parent 2 0 R/MediaBox [0 0 300 200]/Contents 5 0 R/Resources <</Font <</F1 4 0 R>>>>>>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream),
    ]
    out, places = io.BytesIO(b"%PDF-1.4\n"), []
    out.seek(0, io.SEEK_END)
    for number, body in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places))
    out.write(b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % start)
    return out.getvalue()


def docx() -> bytes:
    from docx import Document

    document, out = Document(), io.BytesIO()
    document.add_heading("A title")
    document.add_paragraph("The first paragraph.")
    table = document.add_table(1, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "left", "right"
    document.add_paragraph("The last one.")
    document.save(out)
    return out.getvalue()


def zip_bomb() -> bytes:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("word/document.xml", "w") as part,
    ):
        for _ in range(300):
            part.write(b"\0" * (1 << 20))
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.txt", "one\r\ntwo ü".encode(), "one\ntwo ü"),
        ("a.md", "\ufeff# Title".encode("utf-16"), "\ufeff# Title"),
        ("noname", "caf\xe9".encode("cp1252"), "café"),
        (
            "a.html",
            b"<title>T</title><style>x{}</style><p>One &amp;\n two</p><script>no()</script>three",
            "T\nOne & two\nthree",
        ),
        ("a.csv", b"name;age\nAnn;7\n\nBob;8\n", "name: Ann\nage: 7\n\nname: Bob\nage: 8"),
        ("a.tsv", b"only\theads\n", "only\nheads"),
        ("a.json", b'{"a": {"b": [1, "x"]}, "c": null, "d": true}', "a.b: 1\na.b: x\nd: True"),
        ("a.jsonl", b'{"a": 1}\n\n"text"\n', "a: 1\n\ntext"),
        ("A.PDF", pdf(b"Hello from a page"), "Hello from a page"),
        ("misnamed.txt", pdf(b"Hello"), "Hello"),
        ("a.docx", docx(), "A title\nThe first paragraph.\nleft\tright\nThe last one."),
    ],
)
async def test_each_kind(name: str, content: bytes, text: str) -> None:
    assert (await read(name, content)).strip() == text


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.exe", b"MZ", "unsupported_file"),
        ("a.txt", b"", "invalid_file"),
        ("a.txt", b"\0\1\2", "invalid_file"),
        ("a.pdf", b"%PDF-1.7 and no more", "invalid_file"),
        ("a.pdf", b"nothing like it", "invalid_file"),
        ("a.docx", b"PK\3\4 torn", "invalid_file"),
        ("a.docx", zip_bomb(), "invalid_file"),
        ("a.json", b"[" * 200_000, "invalid_file"),
        ("a.jsonl", b'{"a": 1}\n{"a"', "invalid_file"),
        ("a.csv", b'a\n"' + b"x" * 1_000_001, "invalid_file"),
    ],
)
async def test_what_can_not_be_read_says_why(name: str, content: bytes, code: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        await read(name, content)
    assert caught.value.code == code
    assert len(caught.value.message) > 20


@pytest.mark.parametrize(
    ("content", "limits"),
    [
        (lambda: [b"x" * 2000], {"file_bytes": 1000}),
        (lambda: [pdf(b"x" * 200, 200_000)], {"seconds": 1}),
        (lambda: [pdf(b"x" * 200, 2_000_000)], {"memory": 300 << 20}),
    ],
)
async def test_bombs_are_bounded(content: Any, limits: dict[str, int]) -> None:
    chunks: Iterator[bytes] = iter(content())
    with pytest.raises(InvalidDocument) as caught:
        await ChildReader(**limits).read("a.pdf", chunks)
    assert caught.value.code == "invalid_file"
