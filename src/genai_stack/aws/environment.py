"""Where and as whom AWS is asked, where the process's environment alone says so, as a Lambda function's does."""

from __future__ import annotations

from typing import NamedTuple

from genai_stack import settings

from .signing import Key

HOSTS = {"sagemaker-runtime": "runtime.sagemaker"}
"""What a service's address begins with, where it isn't its name."""


class Environment(NamedTuple):
    key: Key
    region: str

    def endpoint(self, service: str) -> str:
        return settings.aws_endpoint(service) or (
            f"https://{HOSTS.get(service, service)}.{self.region}.amazonaws.com"
        )

    @property
    def access_key(self) -> str:
        return self.key.id

    @property
    def secret_key(self) -> str:
        return self.key.secret

    @property
    def token(self) -> str | None:
        return self.key.token

    def get_frozen_credentials(self) -> Environment:
        """As botocore's credentials have it; these never change."""
        return self


def environment() -> Environment | None:
    """None where more than the environment's plain variables has a say: a profile, a file, a partition with addresses
    of its own."""
    said = settings.aws_key()
    if said is None:
        return None
    id, secret, token, region = said
    return (
        None
        if region.startswith(("cn-", "us-iso", "us-gov", "eu-isoe", "eusc-"))
        else Environment(Key(id, secret, token), region)
    )
