"""How a request is answered: one at a time, on a thread of its own, so that the server goes on answering others."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from ...errors import Overloaded
from ...protocol import AnatomyRequest
from ..answer import Done
from ..serving import Served

MAX_WAITING = 16
"""Requests that may wait for the one being worked on; another is told to come back."""
_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="anatomy")
_places = threading.BoundedSemaphore(MAX_WAITING + 1)


async def answer(served: Served, request: AnatomyRequest) -> Done:
    """Raises RequestError and its kin; InvalidModel for weights that can't be used; Overloaded."""
    if not _places.acquire(blocking=False):
        raise Overloaded("Too many texts wait to be taken apart; send it again in a moment.")
    stopped = threading.Event()
    try:
        work = asyncio.get_running_loop().run_in_executor(_thread, _work, served, request, stopped)
        return Done(await work)
    finally:
        stopped.set()
        _places.release()


def _work(served: Served, request: AnatomyRequest, stopped: threading.Event) -> bytes:
    # Here, since a server that is never asked has no use for NumPy.
    from .dissect import Stopped, dissect, encode
    from .opening import open_model

    if stopped.is_set():
        return b""
    try:
        model = open_model(served.directory, served.adapter)
        found = dissect(model, served.text, request, context=served.context, stopped=stopped.is_set)
        return encode(found)
    except Stopped:
        return b""
