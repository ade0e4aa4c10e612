"""What a deployment published about itself: the parameters CDK wrote under names.parameter, read from SSM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from .. import names
from ..errors import GenAIStackError, NotDeployedError
from ..hosted import HostedModel
from . import session
from .faults import code_of, unreachable

T = TypeVar("T")


class Published(dict[str, str]):
    """A layer's parameters by what they tell. One that isn't there raises NotDeployedError."""

    def __init__(self, stage: str, layer: names.Layer) -> None:
        super().__init__()
        self._stage, self._layer = stage, layer

    def __missing__(self, what: str) -> str:
        raise _absent(self._stage, self._layer, names.parameter(self._stage, self._layer, what))


def read(stage: str, layer: names.Layer, what: str) -> str:
    """The value of one parameter, decrypted. Raises NotDeployedError, which names the stack to deploy, and
    GenAIStackError when the account can't be asked."""
    name = names.parameter(stage, layer, what)
    reply = _asked(stage, layer, name, lambda ssm: ssm.get_parameter(Name=name, WithDecryption=True))
    return str(reply["Parameter"]["Value"])


def read_all(stage: str, layer: names.Layer) -> Published:
    """Everything a layer published, in one go; raises as `read` does, also for what isn't among it when it is asked."""
    path = names.parameter(stage, layer, "")
    found = Published(stage, layer)

    def pages(ssm: Any) -> list[Any]:
        told: list[Any] = []
        more: dict[str, str] = {}
        while not told or more:
            told.append(ssm.get_parameters_by_path(Path=path, Recursive=True, WithDecryption=True, **more))
            more = {"NextToken": token} if (token := told[-1].get("NextToken")) else {}
        return told

    for page in _asked(stage, layer, path, pages):
        for parameter in page["Parameters"]:
            found[parameter["Name"].removeprefix(path)] = parameter["Value"]
    return found


def hosted_models(stage: str) -> dict[str, HostedModel]:
    """What the hosting stack made, by the names in the catalogue; nothing where none is deployed. Raises as `read`."""
    found = read_all(stage, "hosting")
    told = (value for what, value in found.items() if what.startswith("models/"))
    return {one.name: one for one in (msgspec.json.decode(value, type=HostedModel) for value in told)}


def _asked(stage: str, layer: names.Layer, name: str, question: Callable[[Any], T]) -> T:
    ssm = session.client("ssm")
    try:
        return question(ssm)
    except GenAIStackError:
        raise
    except Exception as error:
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, BotoCoreError):
            raise unreachable(f"can't read {name}", error) from error
        if not isinstance(error, ClientError):
            raise
        if code_of(error) == "ParameterNotFound":
            raise _absent(stage, layer, name) from None
        raise GenAIStackError(f"can't read {name}: {error}") from error
    finally:
        ssm.close()


def _absent(stage: str, layer: names.Layer, name: str) -> NotDeployedError:
    return NotDeployedError(f"nothing is published under {name}; {names.remedy(layer, stage)}")
