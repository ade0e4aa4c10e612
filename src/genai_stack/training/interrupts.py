"""SIGTERM, SIGINT and the EC2 spot notice, turned into an orderly end."""

from __future__ import annotations

import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

NOTICE_SECONDS = 5.0
"""Between two looks for a spot notice; it comes two minutes before the instance goes."""


class Interrupted(Exception):
    """The run was asked to stop, and did so in a state the same command can go on from."""


def stop_now() -> None:
    """What a signal means while there is nothing to keep yet."""
    raise Interrupted("interrupted outside training; the same command starts again")


@contextmanager
def on_signal(act: Callable[[], None]) -> Iterator[None]:
    """While entered, either signal calls `act` instead of what it did before. Does nothing off the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        act()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def on_spot_notice(
    metadata: str | None, act: Callable[[], None], every: float = NOTICE_SECONDS
) -> Iterator[None]:
    """While entered, a notice that EC2 takes the instance back calls `act` once. `metadata` is the base URL of the
    instance metadata service; without it, nothing is asked."""
    if metadata is None:
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(every):
            if spot_notice(metadata):
                act()
                return

    thread = threading.Thread(target=watch, name="spot-notice", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def spot_notice(metadata: str) -> bool:
    """Whether the instance is to be stopped or terminated, asked by IMDSv2; False when the service doesn't answer.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
    """
    token = _ask(metadata, "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")
    if token is None:
        return False
    return (
        _ask(metadata, "/latest/meta-data/spot/instance-action", {"X-aws-ec2-metadata-token": token})
        is not None
    )


def _ask(metadata: str, path: str, headers: dict[str, str], method: str = "GET") -> str | None:
    request = urllib.request.Request(metadata.rstrip("/") + path, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=2) as reply:
            return str(reply.read().decode())
    except (urllib.error.URLError, TimeoutError, OSError):
        return None
