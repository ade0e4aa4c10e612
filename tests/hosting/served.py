"""A model server as its users meet it: a child process and HTTP on loopback."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
TIMEOUT = 240


class Server:
    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)

    def send(self, method: str, path: str, body: Any = None, route: str | None = None) -> tuple[int, Any]:
        """Status and decoded JSON (or text)."""
        connection = self.connect()
        headers = {"X-Amzn-SageMaker-Custom-Attributes": f"route={route}"} if route else {}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        self.headers = dict(response.getheaders())
        return response.status, json.loads(text) if "json" in response.headers["content-type"] else text

    def ask(self, route: str = CHAT, **body: Any) -> Any:
        """The answer to a request that must succeed."""
        status, answer = self.send("POST", "/invocations", {"model": "base", **body}, route)
        assert status == 200, answer
        return answer

    def refusal(self, route: str = CHAT, **body: Any) -> tuple[int, dict[str, Any]]:
        status, answer = self.send("POST", "/invocations", {"model": "base", **body}, route)
        assert status >= 400, answer
        assert set(answer["error"]) == {"message", "type", "param", "code"}
        return status, answer["error"]

    @contextmanager
    def open_stream(self, route: str = CHAT, **body: Any) -> Iterator[Iterator[str]]:
        """The data of each event, as it comes; leaving the block hangs up."""
        connection = self.connect()
        headers = {"X-Amzn-SageMaker-Custom-Attributes": f"route={route}"}
        connection.request(
            "POST", "/invocations", json.dumps({"model": "base", "stream": True, **body}), headers
        )
        response = connection.getresponse()
        assert response.status == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        try:
            yield (line[6:].decode().rstrip("\n") for line in response if line.startswith(b"data: "))
        finally:
            response.close()
            connection.close()

    def stream(self, route: str = CHAT, **body: Any) -> list[dict[str, Any]]:
        """Every chunk of a stream that must end well."""
        with self.open_stream(route, **body) as events:
            data = list(events)
        assert data[-1] == "[DONE]"
        return [json.loads(event) for event in data[:-1]]

    def metric(self, name: str, model: str = "base") -> float:
        text = self.send("GET", "/metrics")[1]
        line = next(
            x for x in text.splitlines() if x.startswith(f'genai_stack_model_{name}{{model="{model}"}}')
        )
        return float(line.split()[-1])

    def wait_for(self, name: str, value: float, model: str = "base") -> None:
        end = time.monotonic() + TIMEOUT
        while self.metric(name, model) != value:
            assert time.monotonic() < end, f"{name} never was {value}"
            time.sleep(0.02)

    def workers(self) -> list[int]:
        """The processes that this server has started."""
        listed = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout
        return [int(line) for line in listed.split()]

    def wait_until_ready(self) -> None:
        end = time.monotonic() + TIMEOUT
        while self.send("GET", "/ping")[0] != 200:
            assert time.monotonic() < end, "the server never was ready"
            time.sleep(0.02)


def start(source: str | Path, home: Path, *options: str) -> Server:
    command = [
        sys.executable,
        "-m",
        "genai_stack.hosting",
        str(source),
        "--name",
        "base",
        "--port",
        "0",
        "--announce",
    ]
    process = subprocess.Popen(
        [*command, "--home", str(home), *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return Server(process, json.loads(process.stdout.readline())["port"])


@contextmanager
def serving(source: str | Path, home: Path, *options: str) -> Iterator[Server]:
    server = start(source, home, *options)
    try:
        server.wait_until_ready()
        yield server
    finally:
        assert server.process.stdin is not None
        assert server.process.stdout is not None
        server.process.stdin.close()
        server.process.wait(timeout=TIMEOUT)
        server.process.stdout.close()


def content(answer: dict[str, Any], index: int = 0) -> str:
    text: str = answer["choices"][index]["message"]["content"]
    return text


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]
