"""The usage so far, in every event of a stream."""

from __future__ import annotations

import pytest

from tests.hosting.served import CHAT, COMPLETIONS, Server, said


@pytest.mark.parametrize("route", [CHAT, COMPLETIONS])
def test_every_event_may_say_the_usage_so_far(exact: Server, route: str) -> None:
    asked = {"include_usage": True, "continuous_usage_stats": True}
    said_ = {"prompt": "x"} if route == COMPLETIONS else {"messages": said("x")}
    chunks = exact.stream(route, **said_, seed=3, max_tokens=20, n=2, temperature=1.0, stream_options=asked)
    total = chunks.pop()["usage"]
    last = 0
    for index in range(2):
        mine = [chunk["usage"] for chunk in chunks if chunk["choices"][0]["index"] == index]
        told = [usage["completion_tokens"] for usage in mine]
        assert told == sorted(told)
        assert {usage["prompt_tokens"] for usage in mine} == {total["prompt_tokens"]}
        assert all(u["total_tokens"] == u["prompt_tokens"] + u["completion_tokens"] for u in mine)
        last += told[-1]
    assert last == total["completion_tokens"]
