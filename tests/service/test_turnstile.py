"""Places behind requests: so many in all, so many of one tenant, one for each that goes through."""

from __future__ import annotations

import pytest

from genai_stack.errors import Overloaded
from genai_stack.service.turnstile import Turnstile


def test_no_tenant_keeps_the_others_out() -> None:
    turnstile = Turnstile(3, 2, "films")
    for id in ("1", "2"):
        turnstile.enter("a", id)
    with pytest.raises(Overloaded, match="2 films of yours"):
        turnstile.enter("a", "3")
    turnstile.enter("b", "1")
    with pytest.raises(Overloaded, match="Too many films"):
        turnstile.enter("c", "1")
    turnstile.leave("a", "1")
    turnstile.enter("c", "1")


def test_the_same_one_sent_again_shares_its_place_until_the_last_has_left() -> None:
    turnstile = Turnstile(1, 1, "films")
    for _ in range(20):
        turnstile.enter("a", "1")
    for _ in range(19):
        turnstile.leave("a", "1")
    with pytest.raises(Overloaded):
        turnstile.enter("a", "2")
    turnstile.leave("a", "1")
    turnstile.enter("a", "2")
