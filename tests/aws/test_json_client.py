"""The client for AWS's JSON services, against a server on loopback that says and does what a service may."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from genai_stack.aws import json_client
from genai_stack.aws.environment import Environment
from genai_stack.aws.faults import translated
from genai_stack.aws.json_client import JsonClient
from genai_stack.aws.signing import Key
from genai_stack.errors import GenAIStackError, NotDeployedError, Overloaded

ATTEMPTS = 3
DONE = (200, {"Item": {}}, "")
Reply = tuple[int, Any, str]
"""A status, a body (bytes as they are, the rest as JSON), and the error's kind for the header."""


class Service(socketserver.ThreadingTCPServer):
    """Answers as `replies` say, one after the other, the last one again and again: with a Reply, or by a function of
    the connection, which is closed after it. `heard` are what was asked, headers and body; `connections` counts."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.replies: list[Reply | Callable[[Any], None]] = [DONE]
        self.heard: list[tuple[dict[str, str], Any]] = []
        self.connections = 0


class _Conversation(socketserver.StreamRequestHandler):
    server: Service

    def handle(self) -> None:
        self.server.connections += 1
        while line := self.rfile.readline():
            assert line == b"POST / HTTP/1.1\r\n"
            headers = {}
            while (line := self.rfile.readline().strip()) != b"":
                name, _, value = line.decode().partition(": ")
                headers[name.lower()] = value
            body = self.rfile.read(int(headers["content-length"]))
            self.server.heard.append((headers, json.loads(body)))
            reply = self.server.replies.pop(0) if len(self.server.replies) > 1 else self.server.replies[0]
            if callable(reply):
                reply(self.connection)
                return
            status, told, kind = reply
            data = told if isinstance(told, bytes) else json.dumps(told).encode()
            head = f"HTTP/1.1 {status} Said\r\ncontent-length: {len(data)}\r\n"
            head += f"x-amzn-errortype: {kind}\r\n" if kind else ""
            self.wfile.write(head.encode() + b"\r\n" + data)


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Those that the client made, by the attempt before."""
    made: list[int] = []

    def pause(attempt: int) -> float:
        made.append(attempt)
        return 0.0

    monkeypatch.setattr(json_client, "pause", pause)
    return made


@pytest.fixture
def client(service: Service, pauses: list[int], monkeypatch: pytest.MonkeyPatch) -> Iterator[JsonClient]:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{service.server_address[1]}")
    made = opened()
    yield made
    made.close()


def opened() -> JsonClient:
    return JsonClient("dynamodb", Environment(Key("AKID", "secret-key", "token"), "eu-central-1"), ATTEMPTS)


def asked(client: JsonClient) -> Any:
    return client.get_item(TableName="t", Key={"id": {"S": "ä"}})


def refused(client: JsonClient) -> ClientError:
    with pytest.raises(ClientError) as caught:
        asked(client)
    return caught.value


def test_a_request_is_what_the_protocol_says(service: Service, client: JsonClient) -> None:
    assert asked(client) == {"Item": {}}
    assert client.list_tables() == {"Item": {}}
    (headers, body), (again, nothing) = service.heard
    assert (body, nothing) == ({"TableName": "t", "Key": {"id": {"S": "ä"}}}, {})
    assert headers["content-type"] == "application/x-amz-json-1.0"
    assert headers["x-amz-target"] == "DynamoDB_20120810.GetItem"
    assert again["x-amz-target"] == "DynamoDB_20120810.ListTables"
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    assert headers["x-amz-security-token"] == "token"
    assert "secret-key" not in str(headers)
    assert service.connections == 1, "kept open between requests"


@pytest.mark.parametrize(
    "busy",
    [
        (400, {"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}, ""),
        (400, {}, "com.amazonaws#ThrottlingException:http://internal.amazon.com/"),
        (500, {"__type": "InternalServerError"}, ""),
        (503, b"<html>", ""),
        (200, b'{"Item": ', ""),
        (200, b"[]", ""),
    ],
)
def test_what_passes_is_asked_again(
    service: Service, client: JsonClient, pauses: list[int], busy: Reply
) -> None:
    service.replies = [busy, busy, DONE]
    assert asked(client) == {"Item": {}}
    assert pauses == [0, 1]
    service.replies = [busy]
    with pytest.raises(GenAIStackError) as caught, translated("dynamodb", "the table t"):
        asked(client)
    assert isinstance(caught.value, Overloaded) or busy[0] == 200
    assert len(service.heard) == 3 + ATTEMPTS


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ExpiredTokenException", GenAIStackError),
        ("UnrecognizedClientException", GenAIStackError),
        ("AccessDeniedException", GenAIStackError),
        ("ResourceNotFoundException", NotDeployedError),
        ("ValidationException", GenAIStackError),
    ],
)
def test_what_does_not_pass_is_said_at_once(
    service: Service, client: JsonClient, pauses: list[int], code: str, kind: type[Exception]
) -> None:
    service.replies = [(400, {"__type": f"com.amazon.coral.service#{code}", "message": "why it is"}, "")]
    error = refused(client)
    assert (error.response["Error"], error.operation_name) == (
        {"Code": code, "Message": "why it is"},
        "GetItem",
    )
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    with pytest.raises(kind) as caught, translated("dynamodb", "the table t"):
        asked(client)
    assert type(caught.value) is kind
    assert "secret-key" not in str(caught.value)
    assert (len(service.heard), pauses) == (2, [])


def test_a_refusal_has_its_kind_and_what_came_with_it(service: Service, client: JsonClient) -> None:
    told = {"__type": "x#ConditionalCheckFailedException", "Message": "no", "Item": {"a": {"S": "b"}}}
    service.replies = [(400, told, "")]
    error = refused(client)
    assert isinstance(error, client.exceptions.ConditionalCheckFailedException)
    assert not isinstance(error, client.exceptions.ResourceInUseException)
    response: Any = error.response
    assert (response["Item"], response["Error"]["Message"]) == ({"a": {"S": "b"}}, "no")


def test_refusals_of_two_threads_are_of_one_kind(
    service: Service, client: JsonClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both come before there is a kind: what one raises, the other's `except` has to catch."""
    both = threading.Barrier(2)
    made = type

    def slowly(*told: Any) -> Any:
        if len(told) == 3 and not both.broken:
            with suppress(threading.BrokenBarrierError):
                both.wait(0.5)
        return made(*told)

    json_client._exceptions.cache_clear()
    monkeypatch.setattr(json_client, "type", slowly, raising=False)
    with ThreadPoolExecutor(2) as pool:
        kinds = [pool.submit(lambda: client.exceptions.ParameterNotFound) for _ in range(2)]
    assert kinds[0].result() is kinds[1].result()


def closes(connection: Any) -> None:
    pass


def half(connection: Any) -> None:
    connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"Item"')


def nonsense(connection: Any) -> None:
    connection.sendall(b"SSH-2.0-nothing\r\n")


@pytest.mark.parametrize("broken", [closes, half, nonsense])
def test_an_answer_that_breaks_off_is_asked_for_again(
    service: Service, client: JsonClient, pauses: list[int], broken: Callable[[Any], None]
) -> None:
    service.replies = [broken, broken, DONE]
    assert asked(client) == {"Item": {}}
    assert pauses == [0, 1]
    service.replies = [broken]
    other = opened()
    with pytest.raises(GenAIStackError, match="can't reach the table t"), translated("dynamodb", "the table t"):
        asked(other)
    assert len(service.heard) == 3 + ATTEMPTS


def test_a_connection_that_was_closed_while_idle_costs_no_attempt(
    service: Service, client: JsonClient, pauses: list[int]
) -> None:
    asked(client)
    service.replies = [closes, DONE]
    assert asked(client) == {"Item": {}}
    assert (pauses, service.connections) == ([], 2)


def test_a_service_that_says_nothing_is_given_up(
    service: Service, client: JsonClient, pauses: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_client, "READ_SECONDS", 0.05)
    over = threading.Event()
    service.replies = [lambda _: over.wait(10) and None]
    with pytest.raises(EndpointConnectionError, match="timed out"):
        asked(client)
    over.set()
    assert (len(service.heard), pauses) == (ATTEMPTS, [0, 1])


def test_nobody_there(service: Service, client: JsonClient, pauses: list[int]) -> None:
    service.server_close()
    service.shutdown()
    with pytest.raises(EndpointConnectionError):
        asked(client)
    assert pauses == [0, 1]


def test_many_threads_at_once(service: Service, client: JsonClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: asked(client), range(64))) == [{"Item": {}}] * 64
    assert service.connections <= 8


def test_one_that_nobody_has_any_more_leaves_no_connection_open(service: Service, client: JsonClient) -> None:
    dropped = opened()
    asked(dropped)
    (connection,) = dropped._idle
    assert connection.sock is not None
    del dropped
    assert connection.sock is None
