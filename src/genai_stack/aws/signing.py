"""AWS Signature Version 4 for one service in one region, as little of it as a pooled client needs.

The protocol: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. botocore's
signer is the oracle of the tests; it costs several times as much for a request.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote

_ALGORITHM = "AWS4-HMAC-SHA256"


class Key(NamedTuple):
    """An access key as it stood at one moment, its parts of the same version."""

    id: str
    secret: str
    token: str | None = None


class Signer:
    """Keeps the signing key of a day, which is most of what a signature costs."""

    def __init__(self, service: str, region: str) -> None:
        self._service, self._region = service, region
        self._derived: tuple[str, str, bytes] = ("", "", b"")

    def signed(
        self,
        key: Key,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        now: str,
        query: str = "",
    ) -> dict[str, str]:
        """`headers` and what makes the request a signed one. All of `headers` is signed: names in lower case, `host`
        among them, none that a client or a proxy changes on the way (`user-agent`, `expect`, `transfer-encoding`).

        `path` and `query` are as they are sent, percent-encoded; the path has no `.`, `..` or empty segments. `now` is
        the time as `YYYYMMDDTHHMMSSZ`."""
        signing = {**headers, "x-amz-date": now}
        if key.token:
            signing["x-amz-security-token"] = key.token
        names = sorted(signing)
        listed = ";".join(names)
        lines = "".join([f"{name}:{' '.join(signing[name].split())}\n" for name in names])
        if query:
            query = "&".join(f"{name}={value}" for name, value in sorted(_pairs(query)))
        canonical = (
            f"{method}\n{quote(path, safe='/~')}\n{query}\n{lines}\n{listed}\n{sha256(body).hexdigest()}"
        )
        scope = f"{now[:8]}/{self._region}/{self._service}/aws4_request"
        told = f"{_ALGORITHM}\n{now}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(self._of_day(key.secret, now[:8]), told.encode(), "sha256").hexdigest()
        signing["authorization"] = (
            f"{_ALGORITHM} Credential={key.id}/{scope}, SignedHeaders={listed}, Signature={signature}"
        )
        return signing

    def _of_day(self, secret: str, day: str) -> bytes:
        kept_secret, kept_day, derived = self._derived
        if kept_day != day or kept_secret != secret:
            derived = f"AWS4{secret}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                derived = hmac.digest(derived, part.encode(), "sha256")
            self._derived = (secret, day, derived)
        return derived


def _pairs(query: str) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&"))]
