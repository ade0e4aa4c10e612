"""Which container image a job runs in, and how AWS's images take a command."""

from __future__ import annotations

import re
import shlex
from typing import NamedTuple

import aws_cdk as cdk
from constructs import Construct

REPOSITORY = "huggingface-pytorch-training"
TAG = "2.11-transformers5.13-cu130-amzn2023-sagemaker"
"""PyTorch 2.11, CUDA 13.0, Python 3.12 on Amazon Linux 2023."""
PYTHON = "3.12"
PACKAGES = frozenset(
    {
        *("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "safetensors"),
        *(
            "huggingface_hub",
            "numpy",
            "scipy",
            "sklearn",
            "pandas",
            "pyarrow",
            "jinja2",
            "tqdm",
            "yaml",
            "requests",
        ),
        *(
            "boto3",
            "botocore",
            "vllm",
            "openai",
            "aiohttp",
            "pydantic",
            "evaluate",
            "dill",
            "absl",
            "nltk",
            "rich",
        ),
        *("tensorboard", "matplotlib", "mlflow", "bitsandbytes", "flash_attn", "deepspeed", "liger_kernel"),
        *("click", "packaging", "typer", "regex", "psutil", "filelock", "fsspec", "multiprocess", "xxhash"),
    }
)
"""What the image brings, by import name, as its Dockerfile and AWS's base image list it."""

# AWS's registries of Deep Learning Containers, by region (the "Region Availability" page of its documentation).
_MOST = "763104351884"
REGISTRIES: dict[str, str] = {
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-east-2": "975050140332",
    "ap-northeast-1": _MOST,
    "ap-northeast-2": _MOST,
    "ap-northeast-3": "364406365360",
    "ap-south-1": _MOST,
    "ap-south-2": "772153158452",
    "ap-southeast-1": _MOST,
    "ap-southeast-2": _MOST,
    "ap-southeast-3": "907027046896",
    "ap-southeast-4": "457447274322",
    "ap-southeast-5": "550225433462",
    "ap-southeast-6": "633930458069",
    "ap-southeast-7": "590183813437",
    "ca-central-1": _MOST,
    "ca-west-1": "204538143572",
    "cn-north-1": "727897471807",
    "cn-northwest-1": "727897471807",
    "eu-central-1": _MOST,
    "eu-central-2": "380420809688",
    "eu-north-1": _MOST,
    "eu-south-1": "692866216735",
    "eu-south-2": "503227376785",
    "eu-west-1": _MOST,
    "eu-west-2": _MOST,
    "eu-west-3": _MOST,
    "il-central-1": "780543022126",
    "me-central-1": "914824155844",
    "me-south-1": "217643126080",
    "me-west-1": "124382933778",
    "mx-central-1": "637423239942",
    "sa-east-1": _MOST,
    "us-east-1": _MOST,
    "us-east-2": _MOST,
    "us-west-1": _MOST,
    "us-west-2": _MOST,
}

_ECR = re.compile(r"^(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)")


class Image(NamedTuple):
    """`repository` is the ARN to grant pulls from, None where the registry isn't ECR."""

    uri: str
    repository: str | None
    evaluates: bool
    """Whether its entry point gives the command to a shell's `eval`, as AWS's SageMaker images do."""


def training_image(scope: Construct, uri: str) -> Image:
    """The image `uri`, or AWS's own for whatever region the stack is deployed to."""
    if uri:
        ecr = _ECR.match(uri)
        arn = cdk.Fn.sub(f"arn:${{AWS::Partition}}:ecr:{ecr[2]}:{ecr[1]}:repository/{ecr[3]}") if ecr else None
        return Image(uri, arn, uri.endswith("-sagemaker"))
    table = cdk.CfnMapping(
        scope, "Registries", mapping={region: {"account": account} for region, account in REGISTRIES.items()}
    )
    account = table.find_in_map(cdk.Aws.REGION, "account")
    return Image(
        f"{account}.dkr.ecr.{cdk.Aws.REGION}.{cdk.Aws.URL_SUFFIX}/{REPOSITORY}:{TAG}",
        f"arn:{cdk.Aws.PARTITION}:ecr:{cdk.Aws.REGION}:{account}:repository/{REPOSITORY}",
        TAG.endswith("-sagemaker"),
    )


def python_command(image: Image, script: str, *arguments: str) -> list[str]:
    """A container command that runs `script`, whatever the image's entry point does with it.

    Batch can't replace an entry point. AWS's SageMaker images `eval` the command in a shell that would stay on as
    process 1 and swallow the SIGTERM of a cancelled or drained job: there the script is quoted for that shell, and
    `exec` puts Python in its place. `arguments` are plain words.
    """
    if image.evaluates:
        return ["exec", "python3", "-c", shlex.quote(script), *arguments]
    return ["python3", "-c", script, *arguments]
