"""A stage before and after it is deployed: every check of the account, in the order in which they matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from genai_stack import names
from genai_stack.catalogue import ModelConfig
from genai_stack.config import StackConfig
from genai_stack.containers import CONTAINERS, PROCESSORS, TRAINING, Container
from genai_stack.errors import GenAIStackError
from genai_stack.findings import Finding
from genai_stack.fit import GIB, needed, usable
from genai_stack.registries import ECR, REGISTRIES

from .. import published, session
from ..faults import code_of
from . import account, capacity
from .asking import Check, Place, findings, untold

LAYERS: tuple[names.Layer, ...] = ("training", "hosting", "service")
CREDENTIALS = "set AWS_PROFILE or AWS_ACCESS_KEY_ID and the like, and AWS_REGION"


class Caller(NamedTuple):
    """Who asks. Without an account nothing else can be told, and `finding` says why."""

    finding: Finding
    account: str = ""
    region: str = ""
    partition: str = ""


def caller(make: Callable[..., Any] = session.client) -> Caller:
    """Asks STS, which everybody may."""
    from botocore.exceptions import BotoCoreError, ClientError

    check = Check("credentials", "sts", lambda _: ())
    try:
        sts = make("sts")
        found = sts.get_caller_identity()
    except ClientError as error:
        return Caller(msgspec.structs.replace(untold(check, error), state="fail"))
    except (BotoCoreError, GenAIStackError) as error:
        return Caller(Finding("credentials", "fail", str(error), CREDENTIALS))
    where = sts.meta.region_name
    told = f"{found['Arn']}, account {found['Account']}, {where}"
    return Caller(Finding("credentials", "ok", told), found["Account"], where, found["Arn"].split(":")[1])


def examine(
    stage: str, who: Caller, config: StackConfig, make: Callable[..., Any] = session.client
) -> Iterator[Finding]:
    """What `stage` needs of the account and region of `who`, and what of it is there."""
    place = Place(stage, who.account, who.region, who.partition, config, make)
    checks = (
        Check("region", "ec2", account.region),
        Check("cdk bootstrap", "ssm", account.bootstrap),
        Check("spot role", "iam", account.spot_role),
        Check("functions", "lambda", account.functions),
        Check("quota", "servicequotas", capacity.fleet_quotas),
        Check("quota", "servicequotas", capacity.endpoint_quotas),
        Check("zones", "ec2", capacity.offerings),
        Check("image", "ecr", images),
        Check("model", "sagemaker", models),
        Check("deployed", "ssm", deployed),
    )
    yield from findings(checks, place)


def images(place: Place) -> Iterator[Finding]:
    """Whether the registry gives out each image a job or a model runs in; asked as the one who pulls it would."""
    wanted = {_training(place.config.training.image, place): "training"}
    for model in place.config.hosted_models:
        wanted.setdefault(model.image or _aws(CONTAINERS[model.task], place), model.name)
    for model in place.config.serverless_models:
        wanted.setdefault(_aws(PROCESSORS, place), model.name)
    for uri, what in wanted.items():
        yield _image(place, uri, what)


def models(place: Place) -> Iterator[Finding]:
    """What each hosted model takes of its machines; what doesn't fit is refused with `stack.toml` before."""
    for model in place.config.hosted_models:
        yield Finding("model", "ok", _fit(model))
    for model in place.config.serverless_models:
        yield Finding(
            "model", "ok", f"{model.name} has {model.serverless_memory} MB, and takes {model.max} texts at once"
        )


def deployed(place: Place) -> Iterator[Finding]:
    """By what the stacks published."""
    for layer in LAYERS:
        found = published.read_all(place.stage, layer)
        if layer == "hosting":
            yield _hosting(place, [name for name in found if name.startswith("models/")])
        elif found:
            url = f": {found['api-url']}" if layer == "service" else ""
            yield Finding("deployed", "ok", f"{layer}{url}")
        else:
            yield Finding("deployed", "ok", f"{layer} isn't there yet", names.remedy(layer, place.stage))


def _hosting(place: Place, there: list[str]) -> Finding:
    models = (*place.config.hosted_models, *place.config.serverless_models)
    wanted = {names.hosted(model.name): model.name for model in models}
    remedy = names.remedy("hosting", place.stage)
    if not wanted and not there:
        return Finding("deployed", "ok", "hosting: stack.toml hosts no model")
    if not there:
        return Finding("deployed", "ok", "hosting isn't there yet", remedy)
    missing = [name for key, name in wanted.items() if key not in there]
    over = len(set(there) - set(wanted))
    if missing or over:
        told = (
            f"without {', '.join(missing)}" if missing else f"with {over} models that stack.toml doesn't have"
        )
        return Finding("deployed", "warn", f"hosting: {len(there)} models, {told}", remedy)
    return Finding("deployed", "ok", f"hosting: {', '.join(wanted.values())}")


def _training(image: str, place: Place) -> str:
    return image or _aws(TRAINING, place)


def _aws(container: Container, place: Place) -> str:
    suffix = "amazonaws.com.cn" if place.partition == "aws-cn" else "amazonaws.com"
    registry = REGISTRIES.get(place.region, "")
    return f"{registry}.dkr.ecr.{place.region}.{suffix}/{container.repository}:{container.tag}"


def _image(place: Place, uri: str, what: str) -> Finding:
    found = ECR.match(uri)
    if found is None:
        return Finding(
            "image", "warn", f"{what}: {uri} isn't in ECR, and nobody asked its registry", "try docker pull"
        )
    registry, where, repository, tag, digest = found.groups()
    ecr = place.make("ecr", region=where)
    wanted = {"imageDigest": digest} if digest else {"imageTag": tag or "latest"}
    remedy = "push it there, or name another image in stack.toml"
    try:
        reply = ecr.batch_get_image(registryId=registry, repositoryName=repository, imageIds=[wanted])
    except ecr.exceptions.ClientError as error:
        if code_of(error) != "RepositoryNotFoundException":
            return untold(Check("image", "ecr", images), error)
        return Finding("image", "fail", f"{what}: there is no repository {repository} of {registry}", remedy)
    if reply.get("images"):
        return Finding("image", "ok", f"{what}: {uri}")
    why = next((one.get("failureReason", "") for one in reply.get("failures", ())), "") or "it isn't there"
    return Finding("image", "fail", f"{what}: {uri}: {why}", remedy)


def _fit(model: ModelConfig) -> str:
    gpus = model.tensor_parallel
    need = needed(model.size, model.tokens, model.adapters, gpus) / GIB
    have = min(usable(name, gpus) for name in model.instances) / GIB
    machines = " or ".join(model.instances)
    many = f"{gpus} GPU{'s' * (gpus > 1)}"
    return f"{model.name} takes {need:.1f} GiB on {many} of {machines}, where a model may take {have:.1f}"
