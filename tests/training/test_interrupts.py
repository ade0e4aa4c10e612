"""The spot notice, from a loopback stand-in of EC2's instance metadata service (IMDSv2 only, as instances are set)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from genai_stack.training.interrupts import on_spot_notice, spot_notice

TOKEN = "a-session-token"


class Metadata(BaseHTTPRequestHandler):
    noticed = threading.Event()

    def do_PUT(self) -> None:
        asked = self.path == "/latest/api/token" and self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self._answer(200 if asked else 400, TOKEN)

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            self._answer(401, "")
        elif self.path == "/latest/meta-data/spot/instance-action" and self.noticed.is_set():
            self._answer(200, '{"action": "terminate", "time": "2026-11-24T16:00:00Z"}')
        else:
            self._answer(404, "")

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def metadata() -> Iterator[str]:
    Metadata.noticed.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_notice_is_seen_once_it_is_there(metadata: str) -> None:
    assert not spot_notice(metadata)
    Metadata.noticed.set()
    assert spot_notice(metadata)


def test_a_notice_acts_once_while_watched(metadata: str) -> None:
    acted = threading.Event()
    with on_spot_notice(metadata, acted.set, every=0.01):
        assert not acted.wait(0.1)
        Metadata.noticed.set()
        assert acted.wait(60)


def test_no_service_means_no_notice() -> None:
    assert not spot_notice("http://127.0.0.1:9")
    with on_spot_notice(None, pytest.fail):
        pass
