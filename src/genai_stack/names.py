"""Every name the stack goes by in an account, from (stack, stage). No such string stands anywhere else."""

from __future__ import annotations

import hashlib
import re
from typing import Literal

from .errors import ConfigError

Layer = Literal["training", "hosting", "service"]
ROOT = "genai-stack"
CANCELLED = "cancelled through genai-stack"
"""The reason given to Batch's TerminateJob. Batch calls such a job FAILED and keeps the reason."""
PAUSED = "paused through genai-stack"
"""The same for a job that is to go on later."""
CDK_CLI = "aws-cdk@2.1148.1"
"""The one that fits the library; a bare `aws-cdk` resolves to another."""


QUESTIONS, ANSWERS = "questions", "answers"
"""Where the requests to models that answer through S3 lie in the artefact bucket, and what these answer."""
STAGE = "[a-z][a-z0-9]{0,15}"
"""A stage's name: no hyphen, so that `dev-*` names what belongs to `dev` and to no other stage, and no capital, since
SageMaker writes its ARNs in small letters."""


def checked_stage(stage: str) -> str:
    """`stage`, where it can be one's name. Raises ConfigError."""
    if not re.fullmatch(STAGE, stage):
        raise ConfigError(
            f"{stage[:80]!r} can't be a stage's name: up to 16 small letters and digits, a letter first, such as dev"
        )
    return stage


def parameter(stage: str, layer: Layer, what: str) -> str:
    """The SSM parameter under which CDK publishes `what`: `/genai-stack/<stage>/<layer>/<what>`."""
    return f"/{ROOT}/{stage}/{layer}/{what}"


def cloudformation_stack(layer: Layer) -> str:
    """The stack to deploy for a layer: `GenaiStack-Training`, `-Hosting`, `-Service`."""
    return f"GenaiStack-{layer.capitalize()}"


STAGE_TAG = "genai-stack:stage"
"""The tag of every stack, and of all that CloudFormation made for it: its value is the stage."""


def deployed_stack(stage: str, layer: Layer) -> str:
    """What a layer's stack is called in the account: `GenaiStack-Training-<stage>`."""
    return f"{cloudformation_stack(layer)}-{stage}"


def remedy(layer: Layer, stage: str = "NAME") -> str:
    """What to do about a layer that isn't there, as the end of a message; `stage` is a word for it where it isn't
    known."""
    return f"run: npx {CDK_CLI} deploy {cloudformation_stack(layer)} -c stage={stage}"


def _label(*parts: str) -> str:
    """A name SageMaker takes (letters, digits and hyphens, at most 63): readable, and unlike for unlike parts. In small
    letters, as it stands in SageMaker's ARNs, whatever case it is given in: rights are compared with those."""
    joined = "/".join(parts)
    readable = re.sub(r"[^a-z0-9]+", "-", joined.lower()).strip("-")[:52].rstrip("-")
    return f"{readable}-{hashlib.sha256(joined.encode()).hexdigest()[:10]}"


def hosted(model: str) -> str:
    """The last part of the hosting layer's SSM parameter about a catalogue model; its value is a HostedModel."""
    return f"models/{_label(model)}"


def endpoint(stage: str, model: str) -> str:
    """The SageMaker endpoint of a catalogue model; its adapters answer on it too."""
    return _label(ROOT, stage, model)


def component(stage: str, model: str) -> str:
    """The inference component that answers for a model name, a base's or an adapter's."""
    return _label(stage, model)


def components(stage: str) -> str:
    """What the names of all inference components of a stage match, and those of no other stage."""
    return f"{stage}-*"


VARIANT = "AllTraffic"
"""The one production variant of every endpoint; its components are placed on it."""


def served_ending(stage: str, model: str) -> str:
    """What the names of all SageMaker models made for a model name have in common."""
    return f"of-{hashlib.sha256(f'{stage}/{model}'.encode()).hexdigest()[:10]}"


def served_models(stage: str) -> str:
    """What the names of all SageMaker models of a stage match, and those of no other stage."""
    return f"{stage}-v*"


def served_model(stage: str, model: str, version: int, source: str, *made_from: str) -> str:
    """The SageMaker model of a version: `<stage>-v<version>-…-<its weights>-<whatever else it is made from>-…`."""
    weights, rest = weights_mark(source), hashlib.sha256("\0".join(made_from).encode()).hexdigest()[:8]
    readable = re.sub(r"[^a-z0-9]+", "-", f"{stage}-v{version}-{model.lower()}")[:31].rstrip("-")
    return f"{readable}-{weights}-{rest}-{served_ending(stage, model)}"


def weights_mark(source: str) -> str:
    """What `served_model` keeps of where a model's weights are."""
    return hashlib.sha256(source.encode()).hexdigest()[:8]


def served_parts(sagemaker_model: str) -> tuple[int, str] | None:
    """The version and the weights in a name that `served_model` made; None for any other name."""
    match = re.fullmatch(
        rf"{STAGE}-v(\d+)(?:-.+)?-([0-9a-f]{{8}})-[0-9a-f]{{8}}-of-[0-9a-f]{{10}}", sagemaker_model
    )
    return (int(match[1]), match[2]) if match else None


def questions(model: str) -> str:
    """The prefix, without a slash at its end, under which the requests to a model that answers through S3 lie in the
    artefact bucket."""
    return f"{QUESTIONS}/{_label(model)}"


def model_package_group(stage: str, model: str) -> str:
    """The group in SageMaker's model registry that holds a model's versions."""
    return _label(ROOT, stage, model)


def model_package_groups(stage: str) -> str:
    """What the names of all those groups of a stage match, and those of no other stage."""
    return f"{ROOT}-{stage}-*"


TRAINING_JOB_LOGS = "/aws/sagemaker/TrainingJobs"
"""The log group of every SageMaker training job of an account; SageMaker makes it."""


def training_job(bucket: str, id: str) -> str:
    """The SageMaker training job that runs the job `id` of the stage with that artefact bucket; such names are unique
    in an account and region, for ever. They have 63 characters, which is all that SageMaker takes: its SDK puts the
    time behind what it is given and cuts there, so that a shorter name would be another one with each call."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", id)[:40].strip("-")
    return f"{readable}-{hashlib.sha256(f'{bucket}/{id}'.encode()).hexdigest()}"[:63]


def answers(model: str) -> str:
    """The prefix, without a slash at its end, under which a model that answers through S3 does so in the artefact
    bucket."""
    return f"{ANSWERS}/{_label(model)}"


def gateway(stage: str) -> str:
    """The REST API in front of a stage, and what its metrics go by."""
    return f"{ROOT}-{stage}"


def component_log(component: str) -> str:
    """The CloudWatch log group in which SageMaker keeps what an inference component's containers print."""
    return f"/aws/sagemaker/InferenceComponents/{component}"


def endpoint_log(endpoint: str) -> str:
    """The same of an endpoint without components."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


def log_group(stage: str, layer: Layer) -> str:
    """The CloudWatch log group of a layer's jobs: `/genai-stack/<stage>/<layer>`."""
    return f"/{ROOT}/{stage}/{layer}"


def log_policy(stage: str) -> str:
    """The CloudWatch Logs policy that lets EventBridge write a stage's log of state changes."""
    return f"{ROOT}-{stage}-events"


def metrics(stage: str) -> str:
    """The CloudWatch namespace of a stage's own metrics."""
    return f"{ROOT}/{stage}"


def job_spec(id: str) -> str:
    """The key of a job's spec in the artefact bucket."""
    return f"jobs/{id}/spec.json"


def job_beside(id: str) -> str:
    """The prefix of all that belongs to a job in the artefact bucket."""
    return f"jobs/{id}"


def job_output(id: str) -> str:
    """The prefix, without a slash at its end, under which a job writes in the artefact bucket."""
    return f"jobs/{id}/output"


def vector_index(store: str, mark: str) -> str:
    """The S3 Vectors index of a vector store; `mark` tells it from one that the store had before."""
    return f"{hashlib.sha256(store.encode()).hexdigest()[:40]}-{mark}"


def passages(store: str, put: str = "") -> str:
    """The key of a file's passages as they were put into a vector store; the prefix of all of a store's."""
    return f"vectors/{store}/{put}.json" if put else f"vectors/{store}/"


def data(sha256: str, suffix: str) -> str:
    """The key of a data file in the artefact bucket, its `suffix` beginning with the dot; of a file in a directory of
    data, the `suffix` is a slash and its name."""
    return f"data/{sha256}{suffix}"


def imported(digest: str) -> str:
    """The prefix, without a slash at its end, of a model's files in the artefact bucket, by the digest over them."""
    return f"models/{digest[:40]}"


def kept_adapter(step: int) -> str:
    """Where in a training run's output the adapter lies that was kept after a step."""
    return f"kept/step-{step}"


def checkpoint(model: str, step: int) -> str:
    """The model name of what a fine-tune was after a step."""
    return f"{model}:ckpt-step-{step}"


def fine_tuned(base: str, suffix: str, job_id: str) -> str:
    """The model name of a fine-tune: `ft:<base>:<suffix>:<id>`, the id being the job's without its prefix."""
    return f"ft:{base}:{suffix}:{job_id.rpartition('-')[2]}"
