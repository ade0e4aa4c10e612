"""Where the API is reached instead of at AWS's own address: at a domain, or through VPC endpoints alone."""

from __future__ import annotations

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_iam as iam
from aws_cdk import aws_route53 as route53
from constructs import Construct

from genai_stack.gateway import GatewayConfig


def domain(scope: Construct, config: GatewayConfig, api: apigateway.RestApi) -> apigateway.DomainName:
    """The whole of `config.domain` leads to the deployed stage of `api`, over TLS 1.2 and later. Where a hosted zone is
    named, its record is made."""
    made = apigateway.DomainName(
        scope,
        "Domain",
        domain_name=config.domain,
        certificate=acm.Certificate.from_certificate_arn(scope, "Certificate", config.certificate),
        endpoint_type=apigateway.EndpointType.REGIONAL,
        security_policy=apigateway.SecurityPolicy.TLS_1_2,
        mapping=api,
    )
    if config.hosted_zone:
        route53.CfnRecordSet(
            scope,
            "Record",
            hosted_zone_id=config.hosted_zone,
            name=config.domain,
            type="A",
            alias_target={
                "dnsName": made.domain_name_alias_domain_name,
                "hostedZoneId": made.domain_name_alias_hosted_zone_id,
            },
        )
    return made


def through(endpoints: tuple[str, ...]) -> iam.PolicyDocument:
    """Who may ask a private API: anybody who comes through one of `endpoints`, and nobody who doesn't. The application
    asks for a key as ever."""
    anything = "execute-api:/*"  # of the API whose policy it is
    conditions = {"aws:SourceVpce": list(endpoints)}
    return iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=["execute-api:Invoke"],
                resources=[anything],
                conditions={"StringNotEquals": conditions},
            ),
            iam.PolicyStatement(
                principals=[iam.AnyPrincipal()],
                actions=["execute-api:Invoke"],
                resources=[anything],
                conditions={"StringEquals": conditions},
            ),
        ]
    )
