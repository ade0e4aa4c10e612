"""What a stage is asked for in a month: the load that templates are priced at."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

import msgspec

from ..errors import InvalidSpec

DAYS = 365 / 12
EVENT_BYTES = 250
"""Of a streamed token on its way: an event of a chat completion with one token in it."""
LOG_BYTES = 1200
"""That the API and the gateway write into their logs about one request."""


class Load(msgspec.Struct, frozen=True):
    """A month's use. With every default nothing is asked, and what is stored is nothing."""

    requests_per_day: float = 0.0
    """Of the API."""
    tokens_per_request: float = 500.0
    """That are streamed as the answer."""
    tokens_per_second: float = 50.0
    """How fast they come: a function is held until the last has."""
    hosting_hours: float = 0.0
    """Machine-hours a month of each hosted model, beside the machines that are always up."""
    training_hours: float = 0.0
    """Machine-hours a month on the spot queue."""
    multi_node_hours: float = 0.0
    """Machine-hours a month on the multi-node queue: hours of a job times its nodes."""
    stored_gb: float = 0.0
    """In the artefact bucket, older versions included."""
    records_gb: float = 0.0
    """In the records table."""
    writes_per_request: float = 1.0
    """Records written for a request: usage pages and limits are shared by many, so 1 is much."""

    @property
    def requests(self) -> float:
        """A month."""
        return self.requests_per_day * DAYS

    @property
    def tokens(self) -> float:
        """Answered in a month."""
        return self.requests * self.tokens_per_request

    @property
    def seconds_per_request(self) -> float:
        return self.tokens_per_request / self.tokens_per_second


NAMES = tuple(name.replace("_", "-") for name in Load.__struct_fields__)


def parse(settings: Iterable[str]) -> Load:
    """The load that `name=number` settings say; several may stand in one, with commas between. Raises InvalidSpec for
    a name that isn't known, one given twice, and what is no number."""
    given: dict[str, float] = {}
    for setting in (part.strip() for each in settings for part in each.split(",")):
        name, equals, text = (part.strip() for part in setting.partition("="))
        if name not in NAMES:
            near = get_close_matches(name, NAMES, n=1, cutoff=0.0)[0]
            raise InvalidSpec(f"no load {name!r}; did you mean {near!r}? (known: {', '.join(NAMES)})")
        if not equals or not re.fullmatch(r"\d{1,12}(\.\d{1,6})?", text):
            raise InvalidSpec(f"{setting!r}: a load is name=number, such as {name}=100")
        field = name.replace("-", "_")
        if field in given:
            raise InvalidSpec(f"{name} is given twice; give it once")
        given[field] = float(text)
    if given.get("tokens_per_second") == 0:
        raise InvalidSpec("tokens-per-second=0: no answer would ever end; give the pace of one, such as 50")
    return Load(**given)
