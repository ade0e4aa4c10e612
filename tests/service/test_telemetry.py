"""What OpenTelemetry, CloudWatch and the headers hear of a request, and what none of them does."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from genai_stack import settings
from genai_stack.errors import ConfigError, EngineFailed
from genai_stack.service import ApiKeys, build_app
from genai_stack.service.telemetry import Telemetry, started
from genai_stack.settings import Signals
from tests.service.conftest import CONFIG, GOOD, MASTER, Api
from tests.service.fakes import (
    CHAT,
    FakeHost,
    MemoryRecords,
    MemoryRegistry,
    chat_events,
    services,
    serving,
    sse,
)
from tests.service.responses.talking import TalkHost
from tests.service.task_host import ReadingHost

ROUTE = "/v1/chat/completions"
PROMPT = "a prompt nobody else may read: 77ab"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Heard:
    def __init__(self) -> None:
        self.spans, self.metrics = InMemorySpanExporter(), InMemoryMetricReader()
        self.telemetry = Telemetry(SimpleSpanProcessor(self.spans), self.metrics)

    def span(self) -> Any:
        """The one there is, once it is."""
        until = time.monotonic() + 60
        while not (found := self.spans.get_finished_spans()):
            assert time.monotonic() < until
            time.sleep(0.005)
        (span,) = found
        self.spans.clear()
        return span

    def points(self) -> dict[str, list[Any]]:
        data = self.metrics.get_metrics_data()
        found = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics]
        return {metric.name: list(metric.data.data_points) for metric in found}


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def api(heard: Heard) -> Iterator[Api]:
    host, registry, records = FakeHost(), MemoryRegistry(), MemoryRecords()
    keys = ApiKeys(records, MASTER)
    app = build_app(
        services(host, registry, records), keys=keys, config=CONFIG, telemetry=heard.telemetry, stage="dev"
    )
    with serving(app) as port:
        yield Api(port, host, registry, records, keys)


def test_a_request_is_a_span_of_its_caller_s_trace(api: Api, heard: Heard) -> None:
    id, key = api.keys.create("k", tenant="acme")
    sent = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "req_1"}
    began = time.time_ns()
    assert api.call("POST", ROUTE, GOOD[ROUTE], sent, key=key).status == 200
    span = heard.span()
    assert (span.name, span.kind.name) == (f"chat {CHAT}", "SERVER")
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT
    assert began <= span.start_time <= span.end_time <= time.time_ns()
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "genai_stack",
        "gen_ai.request.model": CHAT,
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "http.request.method": "POST",
        "http.route": ROUTE,
        "http.response.status_code": 200,
        "genai_stack.request.id": "req_1",
        "genai_stack.key.id": id,
        "genai_stack.tenant": "acme",
    }
    assert span.resource.attributes["service.name"] == "genai-stack"
    assert not span.status.description
    api.get("/v1/models")
    other = heard.span()
    assert other.name == "GET /v1/models"
    assert other.parent is None


@pytest.mark.parametrize(
    ("route", "body", "operation"),
    [
        ("/v1/responses", {"model": CHAT, "input": "hi", "store": False}, "chat"),
        ("/v1/tasks/classify", {"model": CHAT, "text": "hi", "labels": ["a", "b"]}, "classify"),
        (
            "/v1/tasks/assistant",
            {"model": CHAT, "question": "a?", "passages": ["b"], "store": False},
            "assistant",
        ),
    ],
)
def test_other_routes_of_models_are_operations_too(
    heard: Heard, route: str, body: dict[str, Any], operation: str
) -> None:
    registry, records = MemoryRegistry(), MemoryRecords()
    host = TalkHost() if route == "/v1/responses" else ReadingHost()
    keys = ApiKeys(records, MASTER)
    app = build_app(services(host, registry, records), keys=keys, config=CONFIG, telemetry=heard.telemetry)
    with serving(app) as port:
        assert Api(port, host, registry, records, keys).post(route, body).status == 200
    assert heard.span().name == f"{operation} {CHAT}"
    (duration,) = heard.points()["gen_ai.server.request.duration"]
    assert duration.attributes["gen_ai.operation.name"] == operation


def test_a_stream_tells_its_first_token(api: Api, heard: Heard) -> None:
    api.host.script = [0.05, *sse(*chat_events(usage=True))]
    api.post(ROUTE, {**GOOD[ROUTE], "stream": True})
    span = heard.span()
    assert span.attributes["gen_ai.server.time_to_first_token"] >= 0.05
    points = heard.points()
    (first,) = points["gen_ai.server.time_to_first_token"]
    assert first.count == 1
    assert first.sum == span.attributes["gen_ai.server.time_to_first_token"]
    (duration,) = points["gen_ai.server.request.duration"]
    assert duration.attributes == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "genai_stack", "gen_ai.request.model": CHAT,
    }  # fmt: skip
    tokens = {point.attributes["gen_ai.token.type"]: point.sum for point in points["gen_ai.client.token.usage"]}
    assert tokens == {"input": 7, "output": 2}


def test_a_comment_that_keeps_a_stream_alive_is_no_first_token(heard: Heard) -> None:
    host, registry, records = FakeHost(), MemoryRegistry(), MemoryRecords()
    keys = ApiKeys(records, MASTER)
    app = build_app(
        services(host, registry, records), keys=keys, config=CONFIG, telemetry=heard.telemetry, keep_alive=0.05
    )
    host.script = [0.3, *sse(*chat_events())]
    with serving(app) as port:
        answer = Api(port, host, registry, records, keys).post(ROUTE, {**GOOD[ROUTE], "stream": True})
    assert answer.body.startswith(b": keep-alive")
    assert heard.span().attributes["gen_ai.server.time_to_first_token"] >= 0.3


def test_failures_are_told_by_their_kind(api: Api, heard: Heard) -> None:
    api.host.failure = EngineFailed("died")
    api.post(ROUTE, GOOD[ROUTE])
    span = heard.span()
    assert (span.attributes["error.type"], span.status.status_code.name) == ("500", "ERROR")
    api.host.reset()
    api.host.script = [*sse(*chat_events()[:2], done=False), EngineFailed("died")]
    api.post(ROUTE, {**GOOD[ROUTE], "stream": True})
    assert heard.span().attributes["error.type"] == "broken_off"
    api.post(ROUTE, {**GOOD[ROUTE], "model": "nobody"})
    span = heard.span()
    assert (span.name, span.attributes["error.type"]) == (f"POST {ROUTE}", "404")
    assert span.status.status_code.name == "UNSET"


def test_nobody_hears_a_prompt_or_a_key(api: Api, heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    _, key = api.keys.create("canary")
    messages = [{"role": "user", "content": PROMPT}]
    api.host.body = json.dumps({"choices": [{"message": {"content": PROMPT}}], "usage": {}}).encode()
    told = []
    with caplog.at_level(logging.INFO):
        for change in ({}, {"stream": True}, {"model": PROMPT}, {PROMPT: 1}):
            sent = {
                "traceparent": f"00-{TRACE}-{PARENT}-01-{PROMPT}",
                "tracestate": key,
                "x-request-id": PROMPT,
            }
            api.call("POST", f"{ROUTE}?{key}", {**GOOD[ROUTE], "messages": messages, **change}, sent, key=key)
            told.append(heard.span().to_json())
    told += [repr(heard.points()), "\n".join(r.getMessage() for r in caplog.records if "uvicorn" not in r.name)]
    for text in told:
        assert PROMPT not in text
        assert key not in text
        assert MASTER not in text


def test_a_stage_s_log_is_metrics_too(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "genai_stack.service"):
        api.post(ROUTE, GOOD[ROUTE], {"traceparent": f"00-{TRACE}-{PARENT}-01"})
        api.post(ROUTE, {**GOOD[ROUTE], "model": "nobody"})
        api.get("/v1/models")
        until = time.monotonic() + 60
        while (
            len(lines := [json.loads(r.getMessage()) for r in caplog.records if r.name.endswith("service")]) < 3
        ):
            assert time.monotonic() < until
            time.sleep(0.005)
    answered, refused, listed = lines
    (told,) = answered["_aws"]["CloudWatchMetrics"]
    assert told["Namespace"] == "genai-stack"
    assert told["Dimensions"] == [["stage"], ["stage", "model"]]
    assert {metric["Name"]: metric["Unit"] for metric in told["Metrics"]} == {
        "ms": "Milliseconds", "first_byte_ms": "Milliseconds", "failed": "Count", "prompt_tokens": "Count",
        "completion_tokens": "Count",
    }  # fmt: skip
    # The specification: a metric is a number of the root, a dimension a text.
    assert all(isinstance(answered[metric["Name"]], int | float) for metric in told["Metrics"])
    assert (answered["stage"], answered["model"], answered["prompt_tokens"]) == ("dev", CHAT, 7)
    assert abs(answered["_aws"]["Timestamp"] / 1000 - time.time()) < 60
    assert answered["trace_id"] == TRACE
    assert refused["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["stage"]]
    assert "_aws" not in listed
    assert "trace_id" not in listed


def test_server_timing(api: Api) -> None:
    api.host.delay = 0.05
    answer = api.post(ROUTE, GOOD[ROUTE])
    app, model = re.fullmatch(r"app;dur=([\d.]+), model;dur=([\d.]+)", answer.headers["server-timing"]).groups()  # type: ignore[union-attr]
    assert float(model) >= 45
    assert float(app) + float(model) == pytest.approx(int(answer.headers["openai-processing-ms"]), abs=1.2)
    assert re.fullmatch(r"app;dur=[\d.]+", api.get("/v1/models").headers["server-timing"])


@pytest.mark.parametrize(("environment", "want"), [
    ({}, None),
    ({"OTEL_SERVICE_NAME": "x"}, None),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, Signals("otlp", "otlp", "http/protobuf")),
    ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, Signals("otlp", "otlp", "http/protobuf")),
    ({"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "none"}, Signals("console", "none", "http/protobuf")),
    ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "TRUE"}, None),
])  # fmt: skip
def test_it_is_off_unless_asked_for(
    environment: dict[str, str], want: Signals | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert settings.telemetry() == want


@pytest.mark.parametrize(
    "signals", [Signals("jaeger", "none", "http/protobuf"), Signals("none", "none", "grpc")]
)
def test_what_is_not_spoken_is_refused(signals: Signals) -> None:
    with pytest.raises(ConfigError):
        started(signals)


def test_the_console_hears_it() -> None:
    program = """
import time
from genai_stack import settings
from genai_stack.service.exchange import Exchange
from genai_stack.service.telemetry import started
telemetry = started(settings.telemetry())
exchange = Exchange({"method": "POST", "headers": []}, None, None)
exchange.route, exchange.model, exchange.status = "/v1/embeddings", "m", 200
telemetry.record(exchange, 0.5)
telemetry.close()
"""
    environment = settings.child_environment(OTEL_TRACES_EXPORTER="console", OTEL_METRICS_EXPORTER="console")
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert '"name": "embeddings m"' in told.stdout
    assert "gen_ai.server.request.duration" in told.stdout
