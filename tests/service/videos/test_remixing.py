"""Remixes, whose source may go."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from genai_stack.service.videos.videos import Videos
from tests.service.resources.conftest import Stack
from tests.service.videos.filming import FilmHost

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


def test_a_remix_sent_again_finds_it_though_its_source_is_gone(
    stack: Stack, client: openai.OpenAI, host: FilmHost
) -> None:
    source = client.videos.create_and_poll(prompt="rain", poll_interval_ms=5)
    headers = {"Idempotency-Key": "remixed"}
    made = client.videos.remix(source.id, prompt="snow", extra_headers=headers)
    client.videos.poll(made.id, poll_interval_ms=5)
    client.videos.delete(source.id)
    again = client.videos.remix(source.id, prompt="snow", extra_headers=headers)
    assert (again.id, again.status, again.remixed_from_video_id) == (made.id, "completed", source.id)
    assert len(host.forms) == 2
    with pytest.raises(openai.ConflictError):
        client.videos.remix(source.id, prompt="fog", extra_headers=headers)
    for other in ({}, {"Idempotency-Key": "another"}):
        with pytest.raises(openai.NotFoundError):
            client.videos.remix(source.id, prompt="snow", extra_headers=other)
    with stack.client(stack.other) as theirs, pytest.raises(openai.NotFoundError):
        theirs.videos.remix(source.id, prompt="snow", extra_headers=headers)
    client.videos.delete(made.id)
    with pytest.raises(openai.ConflictError):
        client.videos.remix(source.id, prompt="snow", extra_headers=headers)


def test_a_source_that_goes_as_it_is_read_is_one_that_is_gone(
    client: openai.OpenAI, host: FilmHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = client.videos.create_and_poll(prompt="rain", poll_interval_ms=5)
    content = Videos.content

    def late(self: Videos, tenant: str, id: str) -> Any:
        found = content(self, tenant, id)
        self.delete(tenant, id)
        return found

    monkeypatch.setattr(Videos, "content", late)
    with pytest.raises(openai.NotFoundError, match=f"There is no video '{source.id}'"):
        client.videos.remix(source.id, prompt="snow")
