"""Films that have expired, and that nobody looks at."""

from __future__ import annotations

import time
from pathlib import Path

from genai_stack.protocol.videos import VideoError, VideoRequest
from genai_stack.service import ApiKeys, build_app
from genai_stack.service.resources.once import Once
from genai_stack.service.videos.records import KEPT_SECONDS, StoredVideo
from genai_stack.service.videos.videos import Videos
from tests.service.conftest import MASTER
from tests.service.fakes import serving
from tests.service.resources.queue import HandQueue
from tests.service.videos.conftest import filming
from tests.service.videos.filming import MP4


def test_what_has_expired_goes_though_nobody_looks(tmp_path: Path) -> None:
    made, past = filming(tmp_path, HandQueue()), 0.0
    videos = Videos(made.objects, made.records, Once(made.records), clock=lambda: time.time() + past)

    def film(tenant: str, done: bool = True) -> None:
        claim, _ = videos.claim(tenant, None, "")
        videos.queue(tenant, claim, StoredVideo(claim.id, 1, "key", VideoRequest("rain", "films")))
        if done:
            videos.complete(tenant, claim.id, [MP4], ended=1.0, served=1.0)
        else:
            videos.fail(tenant, claim.id, VideoError("server_error", "x"))

    def left() -> tuple[int, int]:
        return len(made.objects.list("files/")), len(made.records.query("videos-all"))

    for tenant in ("one", "two"):
        film(tenant)
    film("one", done=False)
    videos.sweep()
    assert left() == (2, 3)
    past = KEPT_SECONDS - 60.0
    film("three")
    past = KEPT_SECONDS + 60.0
    videos.sweep(1)
    assert left() == (2, 3)
    film("four")  # each new one looks over some old ones
    assert left() == (2, 2)
    assert made.records.query("videos/one", limit=9)[0].item["status"] == "failed"
    assert made.records.query("videos/two") == []
    past = 3 * KEPT_SECONDS
    videos.sweep()
    assert left() == (0, 0)


def test_a_start_sweeps(tmp_path: Path) -> None:
    made = filming(tmp_path, HandQueue())
    videos = Videos(
        made.objects, made.records, Once(made.records), clock=lambda: time.time() - KEPT_SECONDS - 60
    )
    claim, _ = videos.claim("me", None, "")
    videos.queue("me", claim, StoredVideo(claim.id, 1, "key", VideoRequest("rain", "films")))
    videos.complete("me", claim.id, [MP4], ended=1.0, served=1.0)
    with serving(build_app(made, keys=ApiKeys(made.records, MASTER))):
        deadline = time.monotonic() + 20
        while made.objects.list("files/"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
