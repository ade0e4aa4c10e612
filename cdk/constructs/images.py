"""Which container image a job runs in, and how AWS's images take a command."""

from __future__ import annotations

import shlex
from typing import NamedTuple

import aws_cdk as cdk
from constructs import Construct

from genai_stack.containers import TRAINING, Container
from genai_stack.registries import ECR, REGISTRIES

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


class Image(NamedTuple):
    """`repository` is the ARN to grant pulls from, None where the registry isn't ECR."""

    uri: str
    repository: str | None
    evaluates: bool
    """Whether its entry point gives the command to a shell's `eval`, as AWS's SageMaker images do."""


def training_image(scope: Construct, uri: str) -> Image:
    """The image `uri`, or AWS's own for whatever region the stack is deployed to."""
    if uri:
        ecr = ECR.match(uri)
        arn = cdk.Fn.sub(f"arn:${{AWS::Partition}}:ecr:{ecr[2]}:{ecr[1]}:repository/{ecr[3]}") if ecr else None
        return Image(uri, arn, uri.endswith("-sagemaker"))
    return aws_image(scope, TRAINING.repository, TRAINING.tag)


def hosting_image(scope: Construct, uri: str, container: Container) -> Image:
    """The image `uri`, or AWS's `container` for whatever region the stack is deployed to."""
    return training_image(scope, uri) if uri else aws_image(scope, container.repository, container.tag)


def aws_image(scope: Construct, repository: str, tag: str) -> Image:
    """AWS's own image, from the registry of whatever region the stack of `scope` is deployed to."""
    stack = cdk.Stack.of(scope)
    table = stack.node.try_find_child("Registries") or cdk.CfnMapping(
        stack, "Registries", mapping={region: {"account": account} for region, account in REGISTRIES.items()}
    )
    account = table.find_in_map(cdk.Aws.REGION, "account")
    return Image(
        f"{account}.dkr.ecr.{cdk.Aws.REGION}.{cdk.Aws.URL_SUFFIX}/{repository}:{tag}",
        f"arn:{cdk.Aws.PARTITION}:ecr:{cdk.Aws.REGION}:{account}:repository/{repository}",
        tag.endswith("-sagemaker"),
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
