"""The API an evaluation asks: the stack that is up and serves the model, or one started for it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from .. import settings
from ..config import load_config
from ..errors import InvalidSpec
from ..registry import split
from ..sources import absolute
from .places import Place
from .specs import EvaluationSpec

if TYPE_CHECKING:
    from ..client.endpoint import Endpoint

PROBE_SECONDS = 10.0


@contextmanager
def api(spec: EvaluationSpec, place: Place) -> Iterator[tuple[Endpoint, str]]:
    """Where the model answers for the length of the block, and to which name. GENAI_STACK_BASE_URL goes before the
    stack that runs in this home, and that before a new one, which lives in `place` and knows nothing but the model.
    Raises InvalidSpec when the API that the environment names doesn't serve it, StackNotReady when a new one doesn't
    come up."""
    from ..client import child, endpoint

    home, name = settings.home(), spec.model.name
    if named := endpoint.named(home):
        if not _serves(named, name):
            raise InvalidSpec(
                f"model: the API at {named.base_url} doesn't serve {name!r}; register it there first"
            )
        yield named, name
        return
    if (running := endpoint.running(home)) and _serves(running, name):
        yield running, name
        return
    started = child.start(*_prepared(spec, place))
    alone = split(name)[0]
    if not isinstance(started, child.ChildStack):
        yield started, alone
        return
    try:
        yield started.endpoint, alone
    finally:
        started.stop()


def _prepared(spec: EvaluationSpec, place: Place) -> tuple[Path, Path]:
    """A home directory in which the model is known, and its stack.toml. A version goes by its bare name there."""
    from .. import wiring

    home = place.scratch_home()
    config = home / "stack.toml"
    base, *adapters = msgspec.structs.replace(spec.model, name=split(spec.model.name)[0]).versions()
    text = f"[local]\nprecision = {_quoted(spec.precision)}\nthreads = {spec.threads}\n"
    text += f"max_running = {max(spec.max_in_flight, 8)}\n"
    text += f"[[model]]\nname = {_quoted(base.name)}\nsource = {_quoted(absolute(base.source))}\n"
    config.write_text(text, encoding="utf-8")
    registry = wiring.local_services(home, load_config(config)).registry
    for adapter in adapters:
        registry.register(adapter)
    return home, config


def _serves(endpoint: Endpoint, model: str) -> bool:
    request = urllib.request.Request(
        f"{endpoint.base_url}/models/{quote(model, safe='')}",
        headers={"Authorization": f"Bearer {endpoint.key}"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PROBE_SECONDS) as reply:
            return bool(reply.status == 200)
    except (OSError, ValueError, urllib.error.URLError):
        return False


def _quoted(text: str) -> str:
    """A TOML basic string; JSON's are."""
    return json.dumps(text, ensure_ascii=False)
