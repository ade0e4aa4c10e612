"""CloudWatch's embedded metric format: members of a log's line that make metrics of it, without a call to anybody.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import time

from ..names import ROOT
from .exchange import Exchange

NAMESPACE = ROOT
_UNITS = {
    "ms": "Milliseconds",
    "first_byte_ms": "Milliseconds",
    "failed": "Count",
    "prompt_tokens": "Count",
    "completion_tokens": "Count",
}


def embedded(exchange: Exchange, stage: str) -> dict[str, object]:
    """By stage, and by stage and model where the request named one there is. `failed` is 1 for a 5xx and for a stream
    that broke off; `ms` and the tokens are the line's own."""
    found: dict[str, object] = {"stage": stage, "failed": int(exchange.broken or exchange.status >= 500)}
    if exchange.first_byte is not None:
        found["first_byte_ms"] = round(exchange.first_byte * 1000, 2)
    names = [name for name in _UNITS if name != "first_byte_ms" or name in found]
    by = [["stage"], ["stage", "model"]] if exchange.model is not None else [["stage"]]
    told = {
        "Namespace": NAMESPACE,
        "Dimensions": by,
        "Metrics": [{"Name": name, "Unit": _UNITS[name]} for name in names],
    }
    return {"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [told]}, **found}
