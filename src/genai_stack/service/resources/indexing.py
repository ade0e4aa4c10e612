"""Files on their way into vector stores, in the background of the API's process.

What there is to do stands in the records: a file that is in progress there is worked on by the process that somebody
asks about it, and so again after a crash. Doing it twice is the same as doing it once.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from contextlib import suppress

from ...errors import GenAIStackError, InvalidDocument, ObjectNotFound
from ...ports import DocumentReader, Passage, VectorIndex
from ...protocol.stores import FileFault
from ..charging import Charges
from .chunks import chunks
from .embedder import Embedder
from .files import Files, StoredFile
from .store_files import Place, StoreFiles
from .store_records import KeptFile, StoredStore

AT_ONCE = 2
"""Files that are read and embedded at the same time."""
BATCH = 16
"""Texts that are embedded with one request: few, so that a question's text gets its turn in between."""
SPARE = 16
"""Tokens by which a stretch stays under the model's window: cut apart, a text may have a few more."""


class Indexing:
    def __init__(
        self,
        kept: StoreFiles,
        files: Files,
        index: VectorIndex,
        reader: DocumentReader,
        embedder: Embedder,
        charges: Charges | None = None,
        *,
        settle: float = 0.0,
    ) -> None:
        self._charges, self._settle = charges, settle
        self._kept, self._files, self._index = kept, files, index
        self._reader, self._embedder = reader, embedder
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[Place, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        kept.want, kept.stop = self._want, self._stop

    def attend(self) -> None:
        """The work goes on in the running event loop; every request says so before it looks at anything."""
        self._loop = asyncio.get_running_loop()

    async def settled(self) -> bool:
        """Waits for the work under way, `settle` seconds at the most: where a process stands still between requests,
        it is done inside of them. False where there was nothing to wait for."""
        if not self._settle or not self._tasks:
            return False
        await asyncio.wait(list(self._tasks.values()), timeout=self._settle)
        return True

    async def close(self) -> None:
        """Ends the work where it is; the next look at its files begins it again."""
        self._loop = None
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _want(self, place: Place) -> None:
        if (loop := self._loop) is not None:
            with suppress(RuntimeError):  # the loop has closed
                loop.call_soon_threadsafe(self._begin, place)

    def _stop(self, place: Place) -> None:
        if (loop := self._loop) is not None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._end, place)

    def _begin(self, place: Place) -> None:
        if place not in self._tasks and self._loop is not None:
            task = self._loop.create_task(self._run(place))
            self._tasks[place] = task
            task.add_done_callback(lambda _: self._tasks.pop(place, None))

    def _end(self, place: Place) -> None:
        if (task := self._tasks.get(place)) is not None:
            task.cancel()

    async def _run(self, place: Place) -> None:
        async with self._turns:
            while (work := await asyncio.to_thread(self._kept.work, place)) is not None:
                store, kept, file = work
                try:
                    await self._index_file(place, store, kept, file)
                except Exception as error:
                    await asyncio.to_thread(self._kept.failed, place, kept, _fault(error))

    async def _index_file(self, place: Place, store: StoredStore, kept: KeptFile, file: StoredFile) -> None:
        content = await asyncio.to_thread(self._files.read, file)
        text = await self._reader.read(file.filename, content)
        tokens, longest = await self._embedder.tokens(store.model, text)
        if not tokens.starts:
            raise InvalidDocument("The file has no words in it; send one that has.", code="invalid_file")
        passages: list[Passage] = []
        owners, vectors, waiting = array("I"), bytearray(), list[str]()
        read, began = 0, time.time()

        async def embed(texts: list[str]) -> None:
            nonlocal read
            found = await self._embedder.embed_patiently(store.model, texts)
            read += found.tokens
            vectors.extend(b"".join(found.vectors))

        for chunk in chunks(text, tokens, kept.chunking, max(longest - SPARE, SPARE)):
            owners.extend([len(passages)] * len(chunk.stretches))
            passages.append(chunk.passage)
            waiting += chunk.stretches
            while len(waiting) >= BATCH:
                await embed(waiting[:BATCH])
                del waiting[:BATCH]
        if waiting:
            await embed(waiting)

        def finish() -> None:  # in one thread: a cancel mustn't come in between
            self._charge(place, store, kept, read, began)
            usage = self._index.put(store.id, kept.indexed, passages, bytes(vectors), owners)
            self._kept.completed(place, kept, usage)

        await asyncio.to_thread(finish)

    def _charge(self, place: Place, store: StoredStore, kept: KeptFile, tokens: int, began: float) -> None:
        tenant, _, id = place
        if self._charges is not None and tokens:
            self._charges.indexing(
                id=f"{store.id}-{id}-{kept.created_at}-{kept.life}",
                tenant=tenant,
                key=kept.key or tenant,
                model=store.model,
                tokens=tokens,
                ended=time.time(),
                began=began,
            )


def _fault(error: Exception) -> FileFault:
    if isinstance(error, InvalidDocument):
        code = "unsupported_file" if error.code == "unsupported_file" else "invalid_file"
        return FileFault(code, error.message)  # type: ignore[arg-type]
    if isinstance(error, ObjectNotFound):
        return FileFault("invalid_file", "The file's content is gone; upload it again.")
    if isinstance(error, GenAIStackError):
        return FileFault("server_error", error.message)
    return FileFault(
        "server_error", f"Something broke while the file was read ({type(error).__name__}); add it again."
    )
