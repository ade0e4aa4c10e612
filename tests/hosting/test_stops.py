"""Stop texts: trimmed exactly, whatever the pieces; nothing shown that one could still claim."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from genai_stack.hosting.stops import StopFilter

letters = st.text("abc", max_size=30)
stops = st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=4).map(tuple)


def expected(text: str, stops: tuple[str, ...]) -> tuple[str, bool]:
    """By definition: the text before the stop text that is complete first, the longest of those."""
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - max(map(len, complete))], True
    return text, False


@given(letters, stops, st.lists(st.integers(1, 5), min_size=30, max_size=30))
def test_the_result_doesnt_depend_on_the_pieces(text: str, stops: tuple[str, ...], sizes: list[int]) -> None:
    filter, shown, start = StopFilter(stops), "", 0
    for size in sizes:
        shown += filter.feed(text[start : start + size])
        start += size
        if filter.stopped:
            break
        assert expected(text, stops)[0].startswith(shown)
    if not filter.stopped:
        shown += filter.finish()
    assert (shown, filter.stopped) == expected(text, stops)


@given(letters)
def test_without_stop_texts_everything_passes_at_once(text: str) -> None:
    assert StopFilter(()).feed(text) == text


def test_only_what_may_be_claimed_is_held() -> None:
    filter = StopFilter(("END",))
    assert filter.feed("the E") == "the "
    assert filter.feed("N") == ""
    assert filter.feed("x E") == "ENx "
    assert filter.feed("ND and more") == ""
    assert filter.stopped
