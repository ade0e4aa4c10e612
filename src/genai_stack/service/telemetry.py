"""OpenTelemetry's traces and metrics of the API, by the semantic conventions for generative AI. Extra `[otel]`.

https://opentelemetry.io/docs/specs/semconv/gen-ai/. A span is made when its request has ended, with the times it had,
so that a request costs nothing more while it runs. Where to, how often and which of them are the SDK's own variables
(`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER`, `OTEL_BSP_…`, `OTEL_SERVICE_NAME` …). Nothing of a prompt, an
answer or a key gets in; keys are told by their ids.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricExporter,
    MetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ..errors import ConfigError
from ..settings import Signals
from ..tasks.run import ASSISTANT
from ..tasks.run import ROUTES as TASKS
from .exchange import CLIENT_GONE, Exchange

OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
    "/v1/images/generations": "generate_content",
    "/v1/images/edits": "generate_content",
    "/v1/audio/speech": "generate_content",
    "/v1/audio/generations": "generate_content",
    "/v1/videos": "generate_content",
    "/v1/videos/{id}/remix": "generate_content",
    "/v1/audio/transcriptions": "generate_content",
    "/v1/audio/translations": "generate_content",
    "/v1/rerank": "rerank",
    "/v1/moderations": "moderation",
    **TASKS,
    ASSISTANT: "assistant",
}
"""The conventions' own names where they have one."""
PROVIDER = "genai_stack"
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_TOKENS = tuple(4.0**power for power in range(14))
"""The buckets that the conventions ask for."""
Attributes = dict[str, str | int | float]


class Telemetry:
    """`record` is for the event loop; `close` sends what waits, and may take seconds: call it in a thread."""

    def __init__(self, processor: SpanProcessor | None, reader: MetricReader | None) -> None:
        resource = Resource.create()
        if str(resource.attributes.get("service.name", "unknown_service")).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "genai-stack"}))
        self._traces, self._tracer = None, None
        if processor is not None:
            self._traces = TracerProvider(resource=resource, shutdown_on_exit=False)
            self._traces.add_span_processor(processor)
            self._tracer = self._traces.get_tracer("genai_stack")
        readers = [] if reader is None else [reader]
        self._metrics = MeterProvider(readers, resource, shutdown_on_exit=False)
        meter = self._metrics.get_meter("genai_stack")
        self._duration = meter.create_histogram(
            "gen_ai.server.request.duration", "s", explicit_bucket_boundaries_advisory=_SECONDS
        )
        self._first = meter.create_histogram(
            "gen_ai.server.time_to_first_token", "s", explicit_bucket_boundaries_advisory=_FIRST
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", explicit_bucket_boundaries_advisory=_TOKENS
        )
        self._context = TraceContextTextMapPropagator()

    def record(self, exchange: Exchange, seconds: float) -> None:
        """A request that has ended, of a key that is known."""
        about = _about(exchange)
        if exchange.model is not None and exchange.route in OPERATIONS:
            self._measure(exchange, seconds, about)
        if self._tracer is not None:
            self._trace(exchange, seconds, about)

    def close(self) -> None:
        if self._traces is not None:
            self._traces.shutdown()
        self._metrics.shutdown()

    def _measure(self, exchange: Exchange, seconds: float, about: Attributes) -> None:
        self._duration.record(seconds, about)
        if exchange.streamed and exchange.first_byte is not None and exchange.status == 200:
            self._first.record(exchange.first_byte, about)
        used = exchange.used
        for kind, count in (("input", used.prompt), ("output", used.completion)):
            if count:
                self._tokens.record(count, {**about, "gen_ai.token.type": kind})

    def _trace(self, exchange: Exchange, seconds: float, about: Attributes) -> None:
        assert self._tracer is not None, "asked before"
        ended = time.time_ns()
        operation = about.get("gen_ai.operation.name")
        method = exchange.method if exchange.method.isalpha() else "_OTHER"
        span = self._tracer.start_span(
            f"{operation} {exchange.model}" if operation else f"{method} {exchange.route}",
            self._context.extract(_carrier(exchange)),
            SpanKind.SERVER,
            {**about, **_details(exchange, method)},
            start_time=ended - round(seconds * 1e9),
        )
        if exchange.broken or exchange.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended)


def started(signals: Signals) -> Telemetry:
    """What the environment asks for. Raises ConfigError."""
    for name in (signals.traces, signals.metrics):
        if name not in ("otlp", "console", "none"):
            raise ConfigError(f"OTEL_…_EXPORTER is {name!r}; it is one of otlp, console, none here")
    if signals.protocol != "http/protobuf":
        raise ConfigError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {signals.protocol!r}; only http/protobuf is spoken here"
        )
    spans, metrics = _span_exporter(signals.traces), _metric_exporter(signals.metrics)
    return Telemetry(
        None if spans is None else BatchSpanProcessor(spans),
        None if metrics is None else PeriodicExportingMetricReader(metrics),
    )


def _span_exporter(name: str) -> SpanExporter | None:
    if name == "otlp":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter: SpanExporter = OTLPSpanExporter()
        return exporter
    return ConsoleSpanExporter() if name == "console" else None


def _metric_exporter(name: str) -> MetricExporter | None:
    if name == "otlp":
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        exporter: MetricExporter = OTLPMetricExporter()
        return exporter
    return ConsoleMetricExporter() if name == "console" else None


def _about(exchange: Exchange) -> Attributes:
    """What metrics are told apart by: few values each."""
    found: Attributes = {}
    if exchange.model is not None and exchange.route in OPERATIONS:
        found["gen_ai.operation.name"] = OPERATIONS[exchange.route]
        found["gen_ai.provider.name"] = PROVIDER
        found["gen_ai.request.model"] = exchange.model
    if exchange.broken:
        found["error.type"] = "broken_off"
    elif exchange.status == CLIENT_GONE:
        found["error.type"] = "client_gone"
    elif exchange.status >= 400:
        found["error.type"] = str(exchange.status)
    return found


def _details(exchange: Exchange, method: str) -> Attributes:
    used, by = exchange.used, exchange.principal
    found: Attributes = {
        "http.request.method": method,
        "http.route": exchange.route,
        "http.response.status_code": exchange.status,
        "genai_stack.request.id": exchange.request_id.decode(),
    }
    if by is not None:
        found["genai_stack.key.id"], found["genai_stack.tenant"] = by.id, by.tenant
    if used.prompt or used.completion:
        found["gen_ai.usage.input_tokens"] = used.prompt
        found["gen_ai.usage.output_tokens"] = used.completion
        found["gen_ai.usage.cache_read.input_tokens"] = used.cached
    if exchange.streamed and exchange.first_byte is not None:
        found["gen_ai.response.time_to_first_chunk"] = exchange.first_byte
        found["gen_ai.server.time_to_first_token"] = exchange.first_byte
    return found


def _carrier(exchange: Exchange) -> Mapping[str, str]:
    return {
        name.decode(): value.decode("latin-1")
        for name, value in exchange.headers
        if name in (b"traceparent", b"tracestate")
    }
