"""What the API counts, in Prometheus' text format. Labels are route templates and statuses, so series are bounded."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Histogram:
    """Seconds by route."""

    def __init__(self, name: str, help: str) -> None:
        self._name, self._help = name, help
        self._series: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, route: str, seconds: float) -> None:
        buckets = self._series.get(route)
        if buckets is None:
            buckets = self._series[route] = [0] * (len(_BOUNDS) + 1)
        buckets[bisect_left(_BOUNDS, seconds)] += 1
        self._sums[route] = self._sums.get(route, 0.0) + seconds

    def lines(self) -> list[str]:
        lines = _head(self._name, self._help, "histogram")
        for route, buckets in self._series.items():
            for bound, total in zip((*map(str, _BOUNDS), "+Inf"), accumulate(buckets), strict=True):
                lines.append(f'{self._name}_bucket{{route="{route}",le="{bound}"}} {total}')
            lines.append(f'{self._name}_sum{{route="{route}"}} {self._sums[route]!r}')
            lines.append(f'{self._name}_count{{route="{route}"}} {sum(buckets)}')
        return lines


class Metrics:
    """Used from one event loop; not for threads."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.waiting = 0
        self.shed = 0
        self._requests: dict[tuple[str, int], int] = {}
        self._tokens: dict[tuple[str, str], int] = {}
        self._seconds = Histogram("genai_stack_request_seconds", "Duration of a request, to its last byte.")
        self._first = Histogram("genai_stack_first_byte_seconds", "Time to the first byte of an answer.")

    def record(
        self,
        route: str,
        status: int,
        seconds: float,
        first_byte: float | None,
        prompt_tokens: int,
        completion_tokens: int,
    ) -> None:
        self._requests[route, status] = self._requests.get((route, status), 0) + 1
        self._seconds.observe(route, seconds)
        if first_byte is not None:
            self._first.observe(route, first_byte)
        if prompt_tokens:
            self._tokens[route, "prompt"] = self._tokens.get((route, "prompt"), 0) + prompt_tokens
        if completion_tokens:
            self._tokens[route, "completion"] = self._tokens.get((route, "completion"), 0) + completion_tokens

    def render(self) -> bytes:
        lines = _head("genai_stack_requests_total", "Requests answered; 499: the client left.", "counter")
        lines += [
            f'genai_stack_requests_total{{route="{route}",status="{status}"}} {count}'
            for (route, status), count in self._requests.items()
        ]
        lines += _head("genai_stack_tokens_total", "Tokens that answers reported as used.", "counter")
        lines += [
            f'genai_stack_tokens_total{{route="{route}",kind="{kind}"}} {count}'
            for (route, kind), count in self._tokens.items()
        ]
        lines += _head("genai_stack_requests_in_flight", "Requests being answered now.", "gauge")
        lines.append(f"genai_stack_requests_in_flight {self.in_flight}")
        lines += _head("genai_stack_requests_waiting", "Requests waiting for a place now.", "gauge")
        lines.append(f"genai_stack_requests_waiting {self.waiting}")
        lines += _head(
            "genai_stack_requests_shed_total", "Requests sent away since there were too many.", "counter"
        )
        lines.append(f"genai_stack_requests_shed_total {self.shed}")
        return "\n".join([*lines, *self._seconds.lines(), *self._first.lines(), ""]).encode()


def _head(name: str, help: str, kind: str) -> list[str]:
    return [f"# HELP {name} {help}", f"# TYPE {name} {kind}"]
