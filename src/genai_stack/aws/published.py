"""What a deployment published about itself: the parameters CDK wrote under names.parameter, read from SSM."""

from __future__ import annotations

from .. import names
from ..errors import GenAIStackError, NotDeployedError


def read(stage: str, layer: names.Layer, what: str) -> str:
    """The value of one parameter, decrypted. Raises NotDeployedError, which names the stack to deploy, and
    GenAIStackError when the account can't be asked."""
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise GenAIStackError(
            "reading a deployed stack needs boto3; run: pip install 'genai-stack[aws]'"
        ) from error
    name = names.parameter(stage, layer, what)
    try:
        reply = boto3.client("ssm").get_parameter(Name=name, WithDecryption=True)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ParameterNotFound":
            raise NotDeployedError(
                f"nothing is published under {name}; run: cdk deploy {names.cloudformation_stack(layer)}"
            ) from None
        raise GenAIStackError(f"can't read {name}: {error}") from error
    except BotoCoreError as error:
        raise GenAIStackError(f"can't read {name}: {error}; check the AWS region and credentials") from error
    return str(reply["Parameter"]["Value"])
