"""The API as a Lambda function: the ASGI application behind Lambda Web Adapter, which streams what it answers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import aws_cdk as cdk
import msgspec
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from genai_stack.config import StackConfig

from .acknowledge import acknowledge
from .api_bundle import START, bundle_api
from .api_rights import api_role
from .bundles import FUNCTION_PYTHON
from .storage import Storage

ADAPTER = "753240598075:layer:LambdaAdapterLayerArm64:26"
"""AWS's layer, the version of Lambda Web Adapter's guide for zip packages, September 2026. A managed Python runtime by
itself can't stream."""
PORT = 8080
MINUTES = 15
"""The longest that a function may run, and that API Gateway lets an answer be streamed."""


class ApiFunction(Construct):
    """One request to an environment at a time, on arm64, traced. It trusts nothing that comes with a request but the
    bearer key, which the application checks."""

    def __init__(
        self, scope: Construct, id: str, *, stage: str, config: StackConfig, storage: Storage, staging: Path
    ) -> None:
        super().__init__(scope, id)
        self.log = storage.log_group("Log", None, config.training, scope=self)
        models = [*config.hosted_models, *config.serverless_models]
        role = api_role(self, "Role", stage=stage, models=models, storage=storage, log=self.log)
        code = staging / "api"
        bundle_api(config.service, code, tasks=config.tasks)
        gateway = config.service.gateway
        layer = f"arn:{cdk.Aws.PARTITION}:lambda:{cdk.Aws.REGION}:{ADAPTER}"
        self.function = lambda_.Function(
            self,
            "Function",
            description=f"The API of stage {stage}",
            runtime=lambda_.Runtime(f"python{FUNCTION_PYTHON}", lambda_.RuntimeFamily.PYTHON),
            architecture=lambda_.Architecture.ARM_64,
            handler=START,
            code=lambda_.Code.from_asset(str(code)),
            layers=[lambda_.LayerVersion.from_layer_version_arn(self, "Adapter", layer)],
            role=role.without_policy_updates(),
            memory_size=gateway.memory_mb,
            timeout=cdk.Duration.minutes(MINUTES),
            reserved_concurrent_executions=gateway.concurrency or None,
            tracing=lambda_.Tracing.ACTIVE,
            environment={
                "AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap",
                "AWS_LWA_INVOKE_MODE": "response_stream",
                "AWS_LWA_PORT": str(PORT),
                "AWS_LWA_READINESS_CHECK_PATH": "/health",
                "GENAI_STACK_STAGE": stage,
                # It reads what is hosted as it starts: where that changes, so does this, and it starts anew.
                "HOSTED_MODELS": hashlib.sha256(msgspec.json.encode(models)).hexdigest()[:16],
            },
            log_group=self.log,
        )
        self.function.node.add_dependency(role)
        acknowledge(self.function, "L1", None, "it runs the Python that bundled it, so that its byte code fits")
