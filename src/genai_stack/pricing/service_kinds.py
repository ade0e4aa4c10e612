"""How everything without machines is billed: what is stored, asked, logged and watched."""

from __future__ import annotations

from typing import Any

from .load import EVENT_BYTES, LOG_BYTES
from .parts import Asked, Bill, Kind, standing, used
from .templates import Template, Unreadable, listed, number, references

GB = 1e9
FAST_SECONDS = 60
"""An alarm with a shorter period costs more."""
DEAR_RULES = ("BotControl", "ATPRuleSet", "ACFPRuleSet", "AntiDDoS")
"""Managed rules with a price of their own."""


def stage(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    """Of an API: it has the requests, the answers that leave, and the traces."""
    if properties.get("CacheClusterEnabled"):
        raise Unreadable("its cache isn't priced")
    load = asked.load
    gigabytes = load.tokens * EVENT_BYTES / GB
    parts = [
        used("million", "api-request", load.requests, f"{load.requests:,.0f} requests"),
        used("gb", "data-out", gigabytes, f"{gigabytes:,.2f} GB of answers, {EVENT_BYTES} bytes a token"),
    ]
    if properties.get("TracingEnabled"):
        parts.append(used("million", "trace", load.requests, "at most all requests, AWS takes a sample"))
    settings = listed(properties, "MethodSettings")
    detailed = any(one.get("MetricsEnabled") for one in settings)
    metrics = ", detailed metrics of each method that is asked" if detailed else ""
    return Bill(tuple(parts), f"streamed answers over 10 MB, which count as more requests{metrics}")


def function(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    """The one behind an API answers every request, and is held until the last token has left."""
    if id not in _behind_api(asked.template):
        return Bill((), "a second or less for each event")
    load = asked.load
    memory = number(properties, "MemorySize", 128) / 1024
    architectures = listed(properties, "Architectures") or ["x86_64"]
    seconds = load.requests * load.seconds_per_request
    basis = f"{load.requests:,.0f} requests of {load.seconds_per_request:g} s with {memory:.2f} GB"
    return Bill(
        (
            used("million", "function-call", load.requests, f"{load.requests:,.0f} requests"),
            used("gb-second", f"function-{architectures[0]}", seconds * memory, basis),
        ),
        "what an answer streams over 6 MB, by the gigabyte",
    )


def _behind_api(template: Template) -> set[str]:
    methods = template.of_type("AWS::ApiGateway::Method").values()
    return {id for method in methods for id in references(method.get("Integration", {}).get("Uri"))}


def log_group(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    """The API's function and its gateway write a part each of what a request leaves."""
    template = asked.template
    functions = (template.properties(one) for one in _behind_api(template))
    stages = template.of_type("AWS::ApiGateway::Stage").values()
    writers = [references(one.get("LoggingConfig", {}).get("LogGroup")) for one in functions]
    writers += [references(one.get("AccessLogSetting", {}).get("DestinationArn")) for one in stages]
    if not any(id in writer for writer in writers):
        return Bill((), "what is printed, by the gigabyte")
    gigabytes = asked.load.requests * LOG_BYTES / 2 / GB
    part = used("gb", "log", gigabytes, f"{gigabytes:,.3f} GB, {LOG_BYTES // 2} bytes a request")
    return Bill((part,), "what it keeps, by the gigabyte")


def bucket(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    """One that others log into keeps logs, any other what is stored."""
    buckets = asked.template.of_type("AWS::S3::Bucket").values()
    logged_into = {
        one
        for other in buckets
        for one in references(other.get("LoggingConfiguration", {}).get("DestinationBucketName"))
    }
    if id in logged_into:
        return Bill((), "the logs it keeps, by the gigabyte")
    stored = asked.load.stored_gb
    return Bill((used("gb-month", "object", stored, f"{stored:g} GB"),), "requests, by the thousand")


def vectors(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    return Bill((), "vectors put and kept, by the gigabyte, and questions, by the million and what they search")


def table(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    if properties.get("BillingMode") != "PAY_PER_REQUEST":
        raise Unreadable("provisioned capacity isn't priced")
    load = asked.load
    writes = load.requests * load.writes_per_request
    parts = [
        used("million", "record-write", writes, f"{writes:,.0f} writes"),
        used("gb-month", "record", load.records_gb, f"{load.records_gb:g} GB"),
    ]
    if properties.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled"):
        parts.append(used("gb-month", "record-backup", load.records_gb, f"{load.records_gb:g} GB"))
    return Bill(tuple(parts), "reads, by the million")


def key(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    turns = ", and another dollar a month after each of the first two rotations"
    part = standing("key", 1, f"1 a month{turns if properties.get('EnableKeyRotation') else ''}")
    return Bill((part,), "its use, by the ten thousand requests")


def alarm(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    metrics = [one for one in listed(properties, "Metrics") if "MetricStat" in one]
    stats = [one["MetricStat"] for one in metrics] or [properties]
    fast = sum(number(one, "Period", FAST_SECONDS) < FAST_SECONDS for one in stats)
    kinds = (("alarm", len(stats) - fast), ("fast-alarm", fast))
    return Bill(tuple(standing(name, count, f"{count} metrics") for name, count in kinds if count))


def dashboard(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    return Bill((standing("dashboard"),))


def metric_filter(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    return Bill((), "a metric, in a month in which it counts anything")


def firewall(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    rules = listed(properties, "Rules")
    for rule in rules:
        managed = rule.get("Statement", {}).get("ManagedRuleGroupStatement", {})
        if (
            any(dear in str(managed.get("Name")) for dear in DEAR_RULES)
            or managed.get("VendorName", "AWS") != "AWS"
        ):
            raise Unreadable(f"the rules {managed.get('Name')} have a price of their own")
    requests = asked.load.requests
    return Bill(
        (
            standing("firewall"),
            standing("firewall-rule", len(rules), f"{len(rules)} rules"),
            used("million", "firewall-request", requests, f"{requests:,.0f} requests"),
        ),
        "bodies over 16 KB, for each 16 KB more that are inspected",
    )


def messages(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    return Bill((), "messages, by the million")


def observed(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    if properties.get("MetricsConfig", {}).get("EnableDetailedObservability"):
        return Bill((), "detailed metrics while machines are up")
    return Bill()


SERVICES: dict[str, Kind] = {
    "AWS::ApiGateway::Stage": stage,
    "AWS::CloudWatch::Alarm": alarm,
    "AWS::CloudWatch::Dashboard": dashboard,
    "AWS::DynamoDB::Table": table,
    "AWS::KMS::Key": key,
    "AWS::Lambda::Function": function,
    "AWS::Logs::LogGroup": log_group,
    "AWS::Logs::MetricFilter": metric_filter,
    "AWS::S3::Bucket": bucket,
    "AWS::S3Vectors::VectorBucket": vectors,
    "AWS::SNS::Topic": messages,
    "AWS::SQS::Queue": messages,
    "AWS::SageMaker::EndpointConfig": observed,
    "AWS::WAFv2::WebACL": firewall,
}
