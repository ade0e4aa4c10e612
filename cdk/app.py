"""What `cdk` runs: `python -m cdk.app`, from the repository's root. `-c stage=NAME` deploys another stage beside
`dev`, `-c config=FILE` reads another `stack.toml`. Needs no account, no Docker and no Node but pip's."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from genai_stack import names
from genai_stack.config import StackConfig, find_config, load_config
from genai_stack.errors import ConfigError

from .hosting_stack import HostingStack
from .service_stack import ServiceStack
from .training_stack import TrainingStack

FLAGS = {
    # The network's flow logs are let into their bucket by its policy, and not by the service in passing.
    "@aws-cdk/aws-s3:createDefaultLoggingPolicy": True,
    # Access logs are allowed by the log bucket's policy; it has no ACLs.
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
    "@aws-cdk/aws-iam:minimizePolicies": True,
}


def new_app(outdir: str | None = None) -> cdk.App:
    """An app without stacks. One to a process: under the CLI each would be synthesised at the end."""
    return cdk.App(outdir=outdir, analytics_reporting=False, context=FLAGS)


def build(app: cdk.App, config: StackConfig, stage: str, staging: Path, *, checked: bool = True) -> None:
    """Puts every layer's stack into `app`, the hosting stack where the catalogue hosts a model. `checked` has cdk-nag's
    AwsSolutions look at it as it is synthesised. `staging` must outlive that."""
    if checked:
        cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    training = TrainingStack(app, stage, config.training, staging)
    service = ServiceStack(app, stage, config, training, staging)
    if config.hosted_models or config.serverless_models:
        # The API looks for models as it starts.
        service.add_stack_dependency(HostingStack(app, stage, config, training, staging))


def configuration(path: str | None) -> StackConfig:
    """The `stack.toml` at `path`, else the one that is here. The CLI says which region its credentials are for
    (`CDK_DEFAULT_REGION`); without any, what a region lacks shows when it is deployed."""
    return load_config(Path(path) if path else find_config(), region=os.environ.get("CDK_DEFAULT_REGION"))


def main() -> None:
    """Synthesises what the context asks for."""
    app = new_app()
    try:
        stage = names.checked_stage(app.node.try_get_context("stage") or "dev")
        config = configuration(app.node.try_get_context("config"))
    except ConfigError as error:
        sys.exit(error.message)
    with tempfile.TemporaryDirectory() as staging:
        build(app, config, stage, Path(staging))
        app.synth()


if __name__ == "__main__":
    main()
