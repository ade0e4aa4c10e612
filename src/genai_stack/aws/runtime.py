"""sagemaker-runtime over one pooled aiohttp session per event loop: each request is signed here and sent once.

Where it is reached is botocore's answer (`AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME`, a profile's `endpoint_url`, else the
region's), asked in a thread on the first request.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple
from weakref import WeakKeyDictionary

import aiohttp
from yarl import URL

from genai_stack import __version__, settings
from genai_stack.errors import GenAIStackError, ModelFailed

from . import session
from .credentials import Credentials
from .environment import environment
from .signing import Signer

SERVICE = "sagemaker-runtime"
SIGNING_NAME = "sagemaker"
CONNECT_SECONDS = 5.0
KEEPALIVE_SECONDS = 15.0
"""Below the minute and more that AWS's front ends keep a connection that is idle."""
BROKEN = (aiohttp.ClientError, OSError)
_AGENT = f"genai-stack/{__version__}"


class _Place(NamedTuple):
    """`base` is where the service answers, with nothing after its path; `proxy` what it is reached through."""

    base: str
    host: str
    region: str
    signer: Signer
    proxy: URL | None


class Runtime:
    """May be used from any number of event loops, one after the other or at once; `close` closes the running one's
    connections."""

    def __init__(self, region: str | None = None) -> None:
        """`region` is the session's own where it isn't given."""
        self._region = region
        self.credentials = Credentials(session.credentials)
        self._place: _Place | None = None
        self._sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = (
            WeakKeyDictionary()
        )
        self._urls: dict[str, URL] = {}

    async def post(self, path: str, headers: dict[str, str], body: bytes) -> aiohttp.ClientResponse:
        """The answer, its body still to be read: close it, or read it to its end. `path` has nothing to escape;
        `headers` are in lower case.

        Raises ModelFailed when nobody answers, and GenAIStackError where credentials or a region are missing."""
        place = self._place or await self._found()
        key = await self.credentials.key()
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = URL(place.base + path, encoded=True)
        headers["host"] = place.host
        signed = place.signer.signed(key, "POST", url.raw_path, headers, body, now)
        signed["user-agent"] = _AGENT
        try:
            return await self._session().post(url, data=body, headers=signed, proxy=place.proxy)
        except BROKEN as error:
            raise broke(f"{place.base} doesn't answer", error) from error

    async def address(self) -> tuple[str, str]:
        """Where the service answers, and the region it is in."""
        place = self._place or await self._found()
        return place.base, place.region

    async def close(self) -> None:
        """Requests under way break off; it may be used again."""
        opened = self._sessions.pop(asyncio.get_running_loop(), None)
        if opened is not None:
            await opened.close()

    async def _found(self) -> _Place:
        self._place = await asyncio.to_thread(self._look)
        return self._place

    def _look(self) -> _Place:
        if self._region is None and (here := environment()) is not None:
            return _place(URL(here.endpoint(SERVICE)), here.region)
        client = session.client(SERVICE, region=self._region, attempts=1)
        try:
            url, region = URL(client.meta.endpoint_url), client.meta.region_name
        finally:
            client.close()
        if not region:
            raise GenAIStackError("no AWS region is set; set AWS_REGION, or name one in the profile")
        return _place(url, region)

    def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        opened = self._sessions.get(loop)
        if opened is None or opened.closed:
            opened = self._sessions[loop] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
                auto_decompress=False,
            )
        return opened


def _place(url: URL, region: str) -> _Place:
    host = url.raw_host or ""
    if url.explicit_port is not None and not url.is_default_port():
        host = f"{host}:{url.explicit_port}"
    base, proxy = str(url).rstrip("/"), settings.proxy(str(url))
    return _Place(base, host, region, Signer(SIGNING_NAME, region), URL(proxy) if proxy else None)


def broke(told: str, error: BaseException) -> ModelFailed:
    """The error for a connection that failed. Whether the model took the request isn't known."""
    return ModelFailed(f"{told} ({error or type(error).__name__}); try again", code="connection_failed")
