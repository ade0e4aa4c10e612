"""A client for AWS's JSON services that needs no botocore: for DynamoDB and SSM, which the API asks as it starts and
with every request. It is called as botocore's is, and raises what botocore's raises, which is loaded then.

The protocol: https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html. Retries are botocore's "standard" ones.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any
from urllib.parse import urlsplit

from genai_stack import __version__

from .environment import Environment
from .faults import BROKEN, THROTTLES
from .signing import Signer

TARGETS = {"dynamodb": ("DynamoDB_20120810", "1.0"), "ssm": ("AmazonSSM", "1.1")}
"""What `x-amz-target` begins with, and the version of the protocol."""
CONNECT_SECONDS, READ_SECONDS = 5.0, 60.0
LONGEST_PAUSE = 20.0
_MAKING = threading.Lock()


def pause(attempt: int) -> float:
    """Seconds before the attempt after this one, counted from 0."""
    return random.random() * min(2.0**attempt, LONGEST_PAUSE)


class JsonClient:
    """Safe from any thread. `client.get_item(TableName=…)` asks for GetItem."""

    def __init__(self, service: str, environment: Environment, attempts: int) -> None:
        self._target, self._version = TARGETS[service]
        place = urlsplit(environment.endpoint(service))
        self._secure, self._host, self._path = place.scheme == "https", place.netloc, place.path or "/"
        self._key, self._signer = environment.key, Signer(service, environment.region)
        self._attempts, self._service = attempts, service
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._idle)

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        if name.startswith("_"):
            raise AttributeError(name)
        return partial(self._ask, "".join(word.capitalize() for word in name.split("_")))

    @property
    def exceptions(self) -> Any:
        with _MAKING:  # two makings would have two classes of one name, of which `except` catches one
            return _exceptions()

    def close(self) -> None:
        with self._lock:
            _close_all(self._idle)

    def _ask(self, operation: str, **asked: Any) -> dict[str, Any]:
        body = json.dumps(asked).encode()
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(pause(attempt - 1))
            last = attempt == self._attempts - 1
            try:
                status, kind, answer = self._sent(operation, body)
            except (OSError, http.client.HTTPException) as error:
                if last:
                    from botocore.exceptions import EndpointConnectionError

                    raise EndpointConnectionError(
                        endpoint_url=f"{self._service} at {self._host} ({error})"
                    ) from error
                continue
            told = _decoded(answer)
            if status == 200 and told is not None:
                return told
            told = told or {}
            code = (kind or str(told.get("__type", ""))).rpartition("#")[2].partition(":")[0] or str(status)
            if last or not (code in THROTTLES | BROKEN or status >= 500 or status == 200):
                raise self._refusal(operation, code, status, told)
        raise AssertionError("unreachable")

    def _sent(self, operation: str, body: bytes) -> tuple[int, str, bytes]:
        """A connection that was idle may have been closed meanwhile: then another one is made."""
        headers = {
            "host": self._host,
            "content-type": f"application/x-amz-json-{self._version}",
            "x-amz-target": f"{self._target}.{operation}",
        }
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        signed = self._signer.signed(self._key, "POST", self._path, headers, body, now)
        signed["user-agent"] = f"genai-stack/{__version__}"
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            fresh = connection is None
            connection = connection or self._opened()
            try:
                connection.request("POST", self._path, body, signed)
                reply = connection.getresponse()
                answer = reply.read()
            except (ConnectionError, http.client.BadStatusLine):
                connection.close()
                if fresh:
                    raise
                continue
            except BaseException:
                connection.close()
                raise
            if reply.will_close:
                connection.close()
            else:
                with self._lock:
                    self._idle.append(connection)
            return reply.status, reply.headers.get("x-amzn-errortype", ""), answer

    def _opened(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, timeout=CONNECT_SECONDS)
        connection.connect()
        connection.sock.settimeout(READ_SECONDS)
        return connection

    def _refusal(self, operation: str, code: str, status: int, told: dict[str, Any]) -> Exception:
        message = str(told.get("message") or told.get("Message") or "")
        about = {
            **told,
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }
        kinds = self.exceptions
        made: Exception = getattr(kinds, code, kinds.ClientError)(about, operation)
        return made


def _close_all(connections: list[http.client.HTTPConnection]) -> None:
    while connections:
        connections.pop().close()


def _decoded(answer: bytes) -> dict[str, Any] | None:
    with suppress(ValueError):
        told = json.loads(answer)
        return told if isinstance(told, dict) else None
    return None


@cache
def _exceptions() -> Any:
    from botocore.exceptions import ClientError

    class Exceptions:
        pass

    Exceptions.ClientError = ClientError  # type: ignore[attr-defined]
    for name in ("ConditionalCheckFailedException", "ResourceInUseException", "ParameterNotFound"):
        setattr(Exceptions, name, type(name, (ClientError,), {}))
    return Exceptions
