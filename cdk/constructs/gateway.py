"""API Gateway before the API: one HTTPS address, streamed answers, and its own refusals in OpenAI's form."""

from __future__ import annotations

import json
from typing import NamedTuple

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from genai_stack import names
from genai_stack.gateway import GatewayConfig

from .acknowledge import acknowledge
from .address import domain, through
from .api_function import MINUTES

OPEN = ("health", "openapi.json")
"""What answers without a key beside the API itself. Neither `/metrics`, which tells of everybody's use, nor `/ready`,
which has the model generate, is reached from outside."""
BINARY = ("multipart/form-data", "application/octet-stream")
"""Bodies that go through as they are, base64 on the way; JSON goes as text, of which more fits into an invocation."""
OPEN_PER_SECOND, OPEN_AT_ONCE = 10, 20
"""Of requests without a key to each of these: they take nothing of what the keys' owners may have."""
ACCESS = {
    "requestId": "$context.requestId",
    "time": "$context.requestTimeEpoch",
    "address": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    # The resource's pattern, not the path that was asked.
    "resource": "$context.resourcePath",
    "status": "$context.status",
    "error": "$context.error.responseType",
    "firewall": "$context.wafResponseCode",
    "bytes": "$context.responseLength",
    "ms": "$context.responseLatency",
}
"""One line for a request, without key, prompt, user agent or query."""


class Refusal(NamedTuple):
    """API Gateway's own answer of a type; `status` where it isn't the one it would give."""

    type: str
    code: str
    message: str
    status: str | None = None
    headers: dict[str, str] = {}


INVALID, SERVER = "invalid_request_error", "server_error"
FINAL = {"x-should-retry": "false"}
UNKNOWN = "There is nothing at this path; GET /openapi.json lists what there is."
REFUSALS = {
    "ACCESS_DENIED": Refusal("permission_error", "forbidden", "This isn't allowed here.", headers=FINAL),
    "DEFAULT_4XX": Refusal(
        INVALID, "invalid_request", "The request can't be read; check it against the API's guide."
    ),
    "DEFAULT_5XX": Refusal(SERVER, "internal_error", "The API failed; try again in a moment."),
    "INTEGRATION_FAILURE": Refusal(
        SERVER, "overloaded", "The API takes no more now; try again in a moment.", "503"
    ),
    "INTEGRATION_TIMEOUT": Refusal(
        SERVER, "timeout", f"The answer took over {MINUTES} minutes; ask for less.", "504", FINAL
    ),
    # What it calls a path that no route has: the first with an Authorization header, which it takes for a signature of
    # AWS's where no method says otherwise, the second without one.
    "INVALID_SIGNATURE": Refusal(INVALID, "unknown_route", UNKNOWN, "404"),
    "MISSING_AUTHENTICATION_TOKEN": Refusal(INVALID, "unknown_route", UNKNOWN, "404"),
    "REQUEST_TOO_LARGE": Refusal(
        INVALID, "request_too_large", "The body is over API Gateway's 10 MB; send less.", headers=FINAL
    ),
    "RESOURCE_NOT_FOUND": Refusal(INVALID, "unknown_route", UNKNOWN),
    "THROTTLED": Refusal(
        "rate_limit_error",
        "rate_limit_exceeded",
        "There are more requests than the API takes; try again in a moment.",
        headers={"retry-after": "1"},
    ),
    "WAF_FILTERED": Refusal(
        "permission_error",
        "blocked",
        "The firewall refuses this request, or there were too many from this address; try again in five minutes.",
        headers=FINAL,
    ),
}


class Gateway(Construct):
    """A REST API, since only that streams: regional, or private where `config` names VPC endpoints. It asks for no key
    itself: the application does, in one place."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: str,
        config: GatewayConfig,
        function: lambda_.Function,
        log: logs.LogGroup,
    ) -> None:
        super().__init__(scope, id)
        self.api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=names.gateway(stage),
            description=f"genai-stack {stage}: OpenAI's API",
            endpoint_configuration=_endpoint(self, config.vpc_endpoints),
            policy=through(config.vpc_endpoints) if config.vpc_endpoints else None,
            # One address, one certificate.
            disable_execute_api_endpoint=True if config.domain else None,
            binary_media_types=list(BINARY),
            # A setting of the account and region, which other APIs may have come to need.
            cloud_watch_role=True,
            cloud_watch_role_removal_policy=cdk.RemovalPolicy.RETAIN,
            deploy_options=apigateway.StageOptions(
                stage_name=stage,
                throttling_rate_limit=config.requests_per_second,
                throttling_burst_limit=config.burst,
                method_options={f"/{path}/GET": _open() for path in OPEN},
                tracing_enabled=True,
                metrics_enabled=True,
                logging_level=apigateway.MethodLoggingLevel.OFF,
                data_trace_enabled=False,
                access_log_destination=apigateway.LogGroupLogDestination(log),
                access_log_format=apigateway.AccessLogFormat.custom(json.dumps(ACCESS)),
            ),
        )
        integration = apigateway.LambdaIntegration(
            function,
            proxy=True,
            allow_test_invoke=False,
            response_transfer_mode=apigateway.ResponseTransferMode.STREAM,
            timeout=cdk.Duration.minutes(MINUTES),
        )
        self.api.root.add_resource("v1").add_resource("{proxy+}").add_method("ANY", integration)
        for path in OPEN:
            self.api.root.add_resource(path).add_method("GET", integration)
        for type, refusal in REFUSALS.items():
            self._refuse(type, refusal)
        self._explain()
        self.url = f"{self._address(stage, config)}/v1"
        """What a client takes as its base URL."""
        if config.domain:
            domain(self, config, self.api)

    def _address(self, stage: str, config: GatewayConfig) -> str:
        if config.domain:
            return f"https://{config.domain}"
        if config.vpc_endpoints:
            # It resolves to the endpoint's private addresses, with the endpoint's private DNS or without.
            host = f"{self.api.rest_api_id}-{config.vpc_endpoints[0]}.execute-api.{cdk.Aws.REGION}"
            return f"https://{host}.{cdk.Aws.URL_SUFFIX}/{stage}"
        return f"https://{self.api.rest_api_id}.execute-api.{cdk.Aws.REGION}.{cdk.Aws.URL_SUFFIX}/{stage}"

    def _refuse(self, type: str, refusal: Refusal) -> None:
        error = {"message": refusal.message, "type": refusal.type, "param": None, "code": refusal.code}
        self.api.add_gateway_response(
            f"Refusal{type.title().replace('_', '')}",
            type=apigateway.ResponseType.of(type),
            status_code=refusal.status,
            response_headers={
                "x-request-id": "context.requestId",
                **{name: f"'{value}'" for name, value in refusal.headers.items()},
            },
            templates={"application/json": json.dumps({"error": error})},
        )

    def _explain(self) -> None:
        keys = "the application checks the key of each request; a second place that does could differ from it"
        acknowledge(self.api, "APIG4", None, keys)
        acknowledge(self.api, "COG4", None, keys)
        acknowledge(
            self.api, "APIG2", None, "the application checks every body, and says what is wrong with it"
        )
        acknowledge(
            self.api, "APIG6", None, "execution logs hold headers and bodies; access logs tell of every request"
        )
        acknowledge(
            self.api,
            "IAM4",
            "Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs",
            "API Gateway's account setting takes a role with these rights",
        )


def _endpoint(scope: Construct, through: tuple[str, ...]) -> apigateway.EndpointConfiguration:
    if not through:
        return apigateway.EndpointConfiguration(types=[apigateway.EndpointType.REGIONAL])
    endpoints = [
        ec2.InterfaceVpcEndpoint.from_interface_vpc_endpoint_attributes(
            scope, f"Through{place}", port=443, vpc_endpoint_id=id
        )
        for place, id in enumerate(through)
    ]
    return apigateway.EndpointConfiguration(types=[apigateway.EndpointType.PRIVATE], vpc_endpoints=endpoints)


def _open() -> apigateway.MethodDeploymentOptions:
    """What the stage says of all methods, with limits of its own."""
    return apigateway.MethodDeploymentOptions(
        throttling_rate_limit=OPEN_PER_SECOND,
        throttling_burst_limit=OPEN_AT_ONCE,
        metrics_enabled=True,
        logging_level=apigateway.MethodLoggingLevel.OFF,
        data_trace_enabled=False,
    )
