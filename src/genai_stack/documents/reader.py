"""DocumentReader in processes of this machine: one for each document, with limits, and killed when it is over them."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

import msgspec

from ..errors import InvalidDocument

FILE_BYTES = 64 * 1024 * 1024
SECONDS = 120
MEMORY_BYTES = 2 * 1024 * 1024 * 1024
TEXT_BYTES = 80_000_000
"""What 20 million characters take at most."""


class _Refusal(msgspec.Struct):
    code: str
    message: str


class ChildReader:
    """`file_bytes` of a document, `seconds` (of processor and of wall clock) and `memory` (bytes of address space) that
    its process gets."""

    def __init__(
        self, *, file_bytes: int = FILE_BYTES, seconds: int = SECONDS, memory: int = MEMORY_BYTES
    ) -> None:
        self._file_bytes, self._seconds, self._memory = file_bytes, seconds, memory

    async def read(self, name: str, content: Iterator[bytes]) -> str:
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as told:
            await asyncio.to_thread(self._copy, content, given)
            status = await self._run(name, given, told)
            told.seek(0)
            data = await asyncio.to_thread(told.read, TEXT_BYTES + 1)
        if status == 0 and len(data) <= TEXT_BYTES:
            return data.decode()
        if status == 1:
            with suppress(msgspec.MsgspecError):
                refusal = msgspec.json.decode(data, type=_Refusal)
                raise InvalidDocument(refusal.message, code=refusal.code)
        raise InvalidDocument(
            f"Reading the file took more than {self._seconds} s or {self._memory >> 20} MiB, or broke off; "
            "make it simpler, or send its text.",
            code="invalid_file",
        )

    def _copy(self, content: Iterator[bytes], to: IO[bytes]) -> None:
        size = 0
        for chunk in content:
            size += len(chunk)
            if size > self._file_bytes:
                raise InvalidDocument(
                    f"The file is over {self._file_bytes} bytes; split it.", code="invalid_file"
                )
            to.write(chunk)
        to.seek(0)

    async def _run(self, name: str, given: IO[bytes], told: IO[bytes]) -> int:
        """The exit status; -9 where it took too long."""
        limits = str(self._seconds), str(self._memory)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "genai_stack.documents", name, *limits,
            stdin=given, stdout=told, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._seconds):
                return await process.wait()
        except TimeoutError:
            return -9
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
