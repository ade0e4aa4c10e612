"""An AWS account on this machine: moto's backends behind a loopback HTTP server.

Requests are real ones, sent by the unmodified clients of this process and of its children, so connections, retries
and time-outs are real, too. One request is worked off at a time, which gives DynamoDB's and S3's atomicity; moto has no
locks of its own. S3 Vectors has a stand-in, since moto's would search in the real one.
`faults` see each request first, and may answer it instead.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import boto3
from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from botocore.config import Config
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.config import default_user_config

from tests.aws.vectors_stand_in import VectorsStandIn

REGION = "eu-central-1"
HOSTS = {"sagemaker": "api.sagemaker"}
"""What a service's address begins with, where it isn't the name that requests are signed for."""


class Request(NamedTuple):
    service: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        """As the JSON protocols name it ("PutItem"); empty for the others."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2]


class Answer(NamedTuple):
    """`close` breaks the connection off after `body`, whatever length was announced; None answers nothing at all."""

    status: int
    headers: dict[str, str]
    body: bytes
    close: bool = False


class LostAnswer(NamedTuple):
    """The request takes effect, and nobody hears of it."""


Fault = Callable[[Request], Answer | LostAnswer | None]


def slow_down(request: Request) -> Answer:
    """S3's way to say that it has too much to do."""
    body = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
    return Answer(503, {"content-type": "application/xml"}, body)


def throttled(request: Request) -> Answer:
    """DynamoDB's, Batch's and most others' way."""
    body = b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'
    return Answer(
        400,
        {"content-type": "application/x-amz-json-1.0", "x-amzn-errortype": "ThrottlingException"},
        body,
    )


def denied(request: Request) -> Answer:
    if request.service == "s3":
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        return Answer(403, {"content-type": "application/xml"}, body if request.method != "HEAD" else b"")
    said = b'{"__type": "AccessDeniedException", "message": "User: u is not authorized"}'
    return Answer(400, {"content-type": "application/x-amz-json-1.0"}, said)


class Account:
    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.faults: list[Fault] = []
        self.lock = threading.Lock()
        self.vectors = VectorsStandIn()
        self._session = boto3.session.Session("testing", "testing", "testing", region_name=REGION)
        account = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if self.headers.get("transfer-encoding") == "chunked":
                    body = _unchunked(self.rfile)
                headers = {name.lower(): value for name, value in self.headers.items()}
                scope = re.search(r"Credential=[^/]*/\d+/([^/]+)/([^/]+)/", headers.get("authorization", ""))
                region, service = scope.groups() if scope else (REGION, "s3")
                answer = account.respond(region, Request(service, self.command, self.path, headers, body))
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response_only(answer.status)
                for name, value in answer.headers.items():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                length = (
                    answer.headers.get("content-length") if self.command == "HEAD" or answer.close else None
                )
                self.send_header("content-length", length or str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)
                self.close_connection = answer.close

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

            def handle_expect_100(self) -> bool:
                """S3's clients ask before they send a body, and wait a second for the answer."""
                told = super().handle_expect_100()
                self.wfile.flush()
                return told

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                """A client that went away is its own affair."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, name="account", daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What a process's environment says about this account."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_SESSION_TOKEN": "testing",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str) -> Any:
        """A client that asks once and waits for nothing."""
        config = Config(retries={"mode": "standard", "total_max_attempts": 1})
        return self._session.client(service, endpoint_url=self.endpoint, config=config)

    @contextmanager
    def broken(self, fault: Fault) -> Iterator[list[Request]]:
        """What `fault` answered instead of the account, in the order it did."""
        hit: list[Request] = []

        def noted(request: Request) -> Answer | LostAnswer | None:
            answer = fault(request)
            if answer is not None:
                hit.append(request)
            return answer

        self.faults.append(noted)
        try:
            yield hit
        finally:
            self.faults.remove(noted)

    def respond(self, region: str, request: Request) -> Answer | None:
        self.seen.append(request)
        answer: Answer | LostAnswer | None = None
        for fault in list(self.faults):
            answer = answer or fault(request)
        if isinstance(answer, Answer):
            return answer
        if request.service == "s3vectors":
            with self.lock:
                made = Answer(*self.vectors.respond(request.path, request.body))
            return None if isinstance(answer, LostAnswer) else made
        host = HOSTS.get(request.service, request.service)
        url = f"https://{host}.{region}.amazonaws.com{request.path}"
        headers = HTTPHeaders()
        for name, value in request.headers.items():
            headers[name] = value
        prepared = AWSPreparedRequest(request.method, url, headers, request.body, False)
        with self.lock:
            default_user_config["batch"] = {"use_docker": False}
            reply = _changed_source(prepared) or BotocoreStubber().process_request(prepared)
        assert reply is not None, f"moto has no {request.service}"
        status, out, body = reply
        content = body.encode() if isinstance(body, str) else bytes(body)
        told = {name.lower(): str(value) for name, value in out.items()}
        return None if isinstance(answer, LostAnswer) else Answer(status, told, content)


def times(count: int, fault: Fault, when: Callable[[Request], bool] = lambda _: True) -> Fault:
    """`fault` for the first `count` requests of which `when` is true."""
    left = [count]

    def limited(request: Request) -> Answer | LostAnswer | None:
        if left[0] and when(request):
            left[0] -= 1
            return fault(request)
        return None

    return limited


def _changed_source(request: AWSPreparedRequest) -> Any:
    """S3's answer to a copy whose source isn't the one that was meant any more; moto ignores that condition."""
    expected = request.headers.get("x-amz-copy-source-if-match")
    if expected is None:
        return None
    host = request.url.split("/", 3)[2]
    source = f"https://{host}/{request.headers['x-amz-copy-source'].lstrip('/')}"
    _, headers, _ = BotocoreStubber().process_request(
        AWSPreparedRequest("HEAD", source, HTTPHeaders(), b"", False)
    )
    if {name.lower(): value for name, value in headers.items()}.get("etag") == expected:
        return None
    return 412, {"content-type": "application/xml"}, "<Error><Code>PreconditionFailed</Code></Error>"


@cache
def account() -> Account:
    """One for the whole run; tests keep apart by the names of their buckets and tables."""
    return Account()


def _unchunked(stream: Any) -> bytes:
    body = b""
    while size := int(stream.readline().partition(b";")[0], 16):
        body += stream.read(size)
        stream.readline()
    while stream.readline().strip():
        pass
    return body
