"""Where a stack's API answers, and with which key: found on this machine, or published by a deployment."""

from __future__ import annotations

import urllib.error
import urllib.request
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from .. import settings

PROBE_SECONDS = 2.0


class Endpoint(msgspec.Struct, frozen=True):
    """`base_url` ends in `/v1`."""

    base_url: str
    key: str

    @property
    def direct(self) -> bool:
        """Whether it is plain HTTP to a loopback address, which no proxy leads to and no certificate stands for."""
        try:
            place = urlsplit(self.base_url)
            host = place.hostname or ""
        except ValueError:
            return False
        return place.scheme == "http" and (
            _loopback(host) or host == "localhost" or host.endswith(".localhost")
        )


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class _Card(msgspec.Struct):
    """run/stack.json, as the running stack of a home writes it."""

    pid: int
    base_url: str | None = None


def named(home: Path) -> Endpoint | None:
    """What GENAI_STACK_BASE_URL names. The key is GENAI_STACK_API_KEY, else the one kept in `home`."""
    url = settings.base_url()
    return Endpoint(url.rstrip("/"), settings.api_key() or _kept_key(home) or "") if url else None


def running(home: Path) -> Endpoint | None:
    """The stack that runs in `home`, if it answers. A card that a killed one left behind leads nowhere."""
    url = announced(home)
    if url is None or not _answers(url):
        return None
    return Endpoint(url, settings.api_key() or _kept_key(home) or "")


def announced(home: Path, pid: int | None = None) -> str | None:
    """The base URL on the home's card; only of process `pid` where one is given."""
    try:
        card = msgspec.json.decode((home / "run" / "stack.json").read_bytes(), type=_Card)
    except (OSError, msgspec.DecodeError):
        return None
    return card.base_url if pid in (None, card.pid) else None


def _kept_key(home: Path) -> str | None:
    try:
        return (home / "key").read_text().strip() or None
    except OSError:
        return None


def _answers(base_url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{base_url.removesuffix('/v1')}/health", timeout=PROBE_SECONDS) as reply:
            return bool(reply.status == 200)
    except (OSError, ValueError, urllib.error.URLError):
        return False
