"""The only reader of the environment. Each function reads its variable when it is called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


def home() -> Path:
    """`GENAI_STACK_HOME`, else `~/.genai-stack`: where the local stack keeps its state."""
    return Path(os.environ.get("GENAI_STACK_HOME") or Path.home() / ".genai-stack").expanduser().absolute()


def api_key() -> str | None:
    """`GENAI_STACK_API_KEY`: the key `up` accepts and the client sends."""
    return os.environ.get("GENAI_STACK_API_KEY") or None


def base_url() -> str | None:
    """`GENAI_STACK_BASE_URL`: an API that is already up, such as `https://host/v1`."""
    return os.environ.get("GENAI_STACK_BASE_URL") or None


def stage() -> str:
    """`GENAI_STACK_STAGE`, else `dev`: the deployment a function or a job belongs to."""
    return os.environ.get("GENAI_STACK_STAGE") or "dev"


class TrackingServer(NamedTuple):
    """An MLflow server, or a store that its client opens itself, and the experiment that runs belong to there."""

    uri: str
    experiment: str


def mlflow() -> TrackingServer | None:
    """`MLFLOW_TRACKING_URI` and `MLFLOW_EXPERIMENT_NAME` (else `genai-stack`); None without the first."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    return TrackingServer(uri, os.environ.get("MLFLOW_EXPERIMENT_NAME") or "genai-stack") if uri else None


class Signals(NamedTuple):
    """What OpenTelemetry is sent by: "otlp", "console" or "none" for either."""

    traces: str
    metrics: str
    protocol: str


def telemetry() -> Signals | None:
    """`OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER` and `OTEL_EXPORTER_OTLP_PROTOCOL`, each else as the specification
    has it (otlp, otlp, http/protobuf). None, and so off, unless one of the first two or an endpoint of OTLP's is set,
    and where `OTEL_SDK_DISABLED` is true. What else there is of `OTEL_…` OpenTelemetry's SDK reads by itself.

    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
    """
    endpoints = [f"OTEL_EXPORTER_OTLP_{which}ENDPOINT" for which in ("", "TRACES_", "METRICS_")]
    exporters = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER")
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if not any(os.environ.get(name) for name in (*endpoints, *exporters)):
        return None
    traces, metrics = (os.environ.get(name) or "otlp" for name in exporters)
    return Signals(traces, metrics, os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf")


def child_environment(**extra: str) -> dict[str, str]:
    """This process's environment plus `extra`, for a child process."""
    return {**os.environ, **extra}


class Torchrun(NamedTuple):
    """Which process of a distributed run this is; rank 0 of 1 outside one."""

    rank: int
    local_rank: int
    world: int


def torchrun() -> Torchrun:
    """`RANK`, `LOCAL_RANK` and `WORLD_SIZE`, as torchrun sets them."""
    return Torchrun(
        *(int(os.environ.get(name) or n) for name, n in (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1)))
    )


class Nodes(NamedTuple):
    """The machines of one job: this one's number, and how many there are."""

    number: int
    nodes: int
    main_address: str
    """Where the main node is reached; on the main node itself, where nothing says so, its own host name."""


def nodes() -> Nodes:
    """On AWS Batch `AWS_BATCH_JOB_NODE_INDEX`, `_NUM_NODES` and `_MAIN_NODE_PRIVATE_IPV4_ADDRESS`; on SageMaker
    `SM_CURRENT_HOST_RANK`, `SM_HOST_COUNT` and `SM_MASTER_ADDR`; one node outside such jobs.

    https://docs.aws.amazon.com/batch/latest/userguide/job_env_vars.html; sagemaker.train's container driver sets the
    others (container_drivers/scripts/environment.py).
    """
    if hosts := os.environ.get("SM_HOST_COUNT"):
        rank = int(os.environ.get("SM_CURRENT_HOST_RANK") or 0)
        return Nodes(rank, int(hosts), os.environ.get("SM_MASTER_ADDR") or "localhost")
    index = int(os.environ.get("AWS_BATCH_JOB_NODE_INDEX") or 0)
    count = int(os.environ.get("AWS_BATCH_JOB_NUM_NODES") or 1)
    address = os.environ.get("AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS") or "localhost"
    return Nodes(index, count, address)


def trust_roles() -> None:
    """Has the `sagemaker` SDK take a role as it is (`SAGEMAKER_VALIDATE_ROLE`, unless that is set). It would ask IAM
    whether the role may do what roles of its own making may, and refuse one that is allowed less."""
    os.environ.setdefault("SAGEMAKER_VALIDATE_ROLE", "false")


def instance_metadata() -> str | None:
    """Where the EC2 instance metadata service is asked for a spot notice: `AWS_EC2_METADATA_SERVICE_ENDPOINT`, else its
    fixed address inside an AWS Batch job; None elsewhere, and where `AWS_EC2_METADATA_DISABLED` is true."""
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None
    in_batch = "http://169.254.169.254" if os.environ.get("AWS_BATCH_JOB_ID") else None
    return os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or in_batch


def aws_key() -> tuple[str, str, str | None, str] | None:
    """`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` and `AWS_REGION` (or `AWS_DEFAULT_REGION`),
    where the first two and the last are set, and nothing else that botocore goes by (`AWS_PROFILE`, files of one's own,
    FIPS or dual-stack addresses, a proxy)."""
    others = "PROFILE DEFAULT_PROFILE CONFIG_FILE USE_FIPS_ENDPOINT USE_DUALSTACK_ENDPOINT CA_BUNDLE".split()
    others.append("IGNORE_CONFIGURED_ENDPOINT_URLS")
    if any(os.environ.get(f"AWS_{name}") for name in others) or _proxied():
        return None
    id, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    region = aws_region() or os.environ.get("AWS_DEFAULT_REGION")
    if not (id and secret and region):
        return None
    return id, secret, os.environ.get("AWS_SESSION_TOKEN") or None, region


def aws_region() -> str | None:
    """`AWS_REGION`, which boto3 doesn't read; it goes before `AWS_DEFAULT_REGION` and a profile's, which it does."""
    return os.environ.get("AWS_REGION") or None


def aws_endpoint(service: str) -> str | None:
    """`AWS_ENDPOINT_URL_<SERVICE>`, else `AWS_ENDPOINT_URL`."""
    own = os.environ.get(f"AWS_ENDPOINT_URL_{service.replace('-', '_').upper()}")
    return own or os.environ.get("AWS_ENDPOINT_URL") or None


def proxy(url: str) -> str | None:
    """Through what that address is reached: `HTTPS_PROXY` or `HTTP_PROXY` by its scheme, unless `NO_PROXY` has its
    host; in small letters as well, as botocore and httpx have it."""
    if not _proxied():
        return None
    from urllib.parse import urlsplit
    from urllib.request import getproxies_environment, proxy_bypass

    place = urlsplit(url)
    found = getproxies_environment().get(place.scheme)
    if not found or proxy_bypass(place.netloc):
        return None
    return found if "://" in found else f"http://{found}"


def _proxied() -> bool:
    return any(os.environ.get(name) for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"))
