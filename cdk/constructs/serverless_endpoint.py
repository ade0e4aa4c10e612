"""A model that is taken apart: an endpoint without machines, whose processors come for a request and go after it."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
import msgspec
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from genai_stack import choices, names
from genai_stack.catalogue import ModelConfig
from genai_stack.containers import PROCESSORS

from .anatomy_bundle import bundle_anatomy
from .endpoint_alarms import EndpointAlarms
from .hosting_roles import writing_rights
from .images import aws_image
from .roles import pull_rights


class ServerlessEndpoint(Construct):
    """The endpoint of one model with task `anatomy`, and what is published of it. Its archive travels as an asset.

    SageMaker takes neither a network of ours nor network isolation for it ("Serverless Inference", Feature exclusions);
    the program asks nothing of any network.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        model: ModelConfig,
        stage: str,
        alarms: EndpointAlarms,
        staging: Path,
    ) -> None:
        super().__init__(scope, id)
        self.model = model
        name = names.endpoint(stage, model.name)
        data = self._uploaded(bundle_anatomy(model, staging / id))
        image = aws_image(self, PROCESSORS.repository, PROCESSORS.tag)
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "sagemaker.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}},
            ),
            description=f"Serverless model {model.name}",
        )
        for statement in pull_rights(image):
            role.add_to_policy(statement)
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:GetObject"],
                resources=[f"arn:{cdk.Aws.PARTITION}:s3:::{data.bucket_name}/{data.object_key}"],
            )
        )
        for statement in writing_rights(role, [names.endpoint_log(name)]):
            role.add_to_policy(statement)
        served = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=role.role_arn,
            primary_container={
                "image": image.uri,
                "modelDataUrl": data.s3_object_url,
                # A process for each processor would hold the weights as often.
                "environment": {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"},
            },
        )
        served.node.add_dependency(role)
        config = sagemaker.CfnEndpointConfig(
            self,
            "Config",
            production_variants=[
                {
                    "variantName": names.VARIANT,
                    "modelName": served.attr_model_name,
                    "initialVariantWeight": 1.0,
                    "serverlessConfig": {
                        "memorySizeInMb": model.serverless_memory,
                        "maxConcurrency": model.max,
                    },
                }
            ],
        )
        sagemaker.CfnEndpoint(
            self, "Endpoint", endpoint_name=name, endpoint_config_name=config.attr_endpoint_config_name
        )
        alarms.watch_serverless(model, name)
        hosted = choices.serverless(model, name, role.role_arn, image.uri)
        ssm.CfnParameter(
            self,
            "Published",
            type="String",
            name=names.parameter(stage, "hosting", names.hosted(model.name)),
            value=cdk.Stack.of(self).to_json_string(msgspec.json.decode(msgspec.json.encode(hosted))),
        )
        cdk.CfnOutput(self, "Name", value=name, description=f"The endpoint of {model.name}")

    def _uploaded(self, archive: Path) -> cdk.FileAssetLocation:
        """As an asset whose key ends in `.tar.gz`, as SageMaker wants it; that of an Asset would end in `.gz`."""
        staged = cdk.AssetStaging(self, "Data", source_path=str(archive))
        stack = cdk.Stack.of(self)
        return stack.synthesizer.add_file_asset(
            source_hash=f"{staged.asset_hash}.tar",
            packaging=cdk.FileAssetPackaging.FILE,
            file_name=staged.relative_staged_path(stack),
        )
