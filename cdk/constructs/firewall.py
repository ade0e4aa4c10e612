"""AWS WAF before the API: addresses with a bad name, floods, and what scanners send. Prompts are let alone."""

from __future__ import annotations

from typing import Any

from aws_cdk import aws_wafv2 as waf
from constructs import Construct

from genai_stack import names

INSPECTED = "KB_64"
"""Of a body, the most there is; a longer one goes on to the application, which holds its size."""
LISTS = ("AWSManagedRulesAmazonIpReputationList",)
PATTERNS = {
    "AWSManagedRulesCommonRuleSet": (
        "SizeRestrictions_BODY",
        "CrossSiteScripting_BODY",
        "EC2MetaDataSSRF_BODY",
        "GenericLFI_BODY",
        "GenericRFI_BODY",
    ),
    "AWSManagedRulesKnownBadInputsRuleSet": (
        "JavaDeserializationRCE_BODY",
        "Log4JRCE_BODY",
        "ReactJSRCE_BODY",
    ),
}
"""Groups of rules, and those of each that read a body: they count and don't block. A prompt may be long, and may be
about anything, code and attacks included; the application parses it into a type, and nothing runs, renders or opens
it."""
NO_USER_AGENT = "NoUserAgent_HEADER"
"""It counts, too: a program may leave the header out."""


def firewall(
    scope: Construct, id: str, *, stage: str, requests_per_address: int, protected: str
) -> waf.CfnWebACL:
    """The rules, put before the API stage with the ARN `protected`. They keep no samples, which would hold keys."""
    acl = waf.CfnWebACL(
        scope,
        id,
        scope="REGIONAL",
        default_action={"allow": {}},
        visibility_config=_seen(stage, "Firewall"),
        association_config={"requestBody": {"API_GATEWAY": {"defaultSizeInspectionLimit": INSPECTED}}},
        rules=_rules(stage, requests_per_address),
    )
    waf.CfnWebACLAssociation(scope, f"{id}Association", resource_arn=protected, web_acl_arn=acl.attr_arn)
    return acl


def _rules(stage: str, requests_per_address: int) -> list[dict[str, Any]]:
    """In the order in which they are asked."""
    rate = {"limit": requests_per_address, "aggregateKeyType": "IP", "evaluationWindowSec": 300}
    rules: list[dict[str, Any]] = [
        {"name": "Flood", "action": {"block": {}}, "statement": {"rateBasedStatement": rate}}
    ]
    for group in (*LISTS, *PATTERNS):
        counted = [*PATTERNS.get(group, ())]
        if group == "AWSManagedRulesCommonRuleSet":
            counted.append(NO_USER_AGENT)
        statement: dict[str, Any] = {"vendorName": "AWS", "name": group}
        if counted:
            statement["ruleActionOverrides"] = [
                {"name": rule, "actionToUse": {"count": {}}} for rule in counted
            ]
        name = group.removeprefix("AWSManagedRules")
        rules.append(
            {
                "name": name,
                "overrideAction": {"none": {}},
                "statement": {"managedRuleGroupStatement": statement},
            }
        )
    return [
        {**rule, "priority": place, "visibilityConfig": _seen(stage, rule["name"])}
        for place, rule in enumerate(rules)
    ]


def _seen(stage: str, name: str) -> dict[str, Any]:
    return {
        "cloudWatchMetricsEnabled": True,
        "metricName": f"{names.ROOT}-{stage}-{name}",
        "sampledRequestsEnabled": False,
    }
