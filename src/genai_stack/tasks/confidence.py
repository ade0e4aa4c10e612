"""How sure a model was, from the probabilities of what it wrote.

What is counted is the model's own distribution; where it was held to a form, the tokens that lead nowhere are left out
of the sum. A server tells the likeliest tokens only: another one counts as the least likely of those, which it can't
pass, so that a confidence is never told too high.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from .model import Token


def of_text(tokens: Sequence[Token] | None) -> float | None:
    """The geometric mean of the tokens' probabilities."""
    if not tokens:
        return None
    return _unit(math.exp(sum(min(token.logprob, 0.0) for token in tokens) / len(tokens)))


def of_choice(tokens: Sequence[Token] | None, chosen: bytes, others: Iterable[bytes]) -> float | None:
    """The probability of `chosen` among all of them, which are the whole texts that could have been written."""
    if not tokens:
        return None
    open_, written, product = list(others), b"", 1.0
    for token in tokens:
        open_ = [text for text in open_ if text.startswith(written)]
        if not open_ or len(written) >= len(chosen):
            break
        after = written + token.spelled
        rivals = [text for text in open_ if not text.startswith(after)]
        product *= _share(token, [text[len(written) :] for text in rivals])
        written = after
    return _unit(product)


def of_flags(tokens: Sequence[Token] | None, places: Mapping[str, tuple[int, bool]]) -> dict[str, float | None]:
    """Per name the probability of true against false. `places` has the byte at which the answer says one of them, and
    which one."""
    found: dict[str, float | None] = dict.fromkeys(places)
    at = 0
    for token in tokens or ():
        end = at + len(token.spelled)
        for name, (place, said) in places.items():
            if at <= place < end:
                before = token.spelled[: place - at]
                share = _share(token, [before + (b"false" if said else b"true")])
                found[name] = _unit(share if said else 1.0 - share)
        at = end
    return found


def _share(token: Token, rivals: Sequence[bytes]) -> float:
    """Of the token against the beginnings of `rivals`, each of which it is not."""
    least = min((other.probability for other in token.top_logprobs), default=0.0)
    against, told = 0.0, set[int]()
    for other in token.top_logprobs:
        leads = {at for at, rival in enumerate(rivals) if _leads(other.spelled, rival)}
        if leads and other.spelled != token.spelled:
            against += other.probability
            told |= leads
    against += least * (len(rivals) - len(told))
    own = token.probability
    return own / (own + against) if own + against > 0.0 else 0.0


def _leads(piece: bytes, text: bytes) -> bool:
    return bool(piece) and (text.startswith(piece) or piece.startswith(text))


def _unit(value: float) -> float:
    return round(min(max(value, 0.0), 1.0), 6)
