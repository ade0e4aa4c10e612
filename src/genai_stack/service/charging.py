"""What the ledger is told: of a request when it has ended, however it did, and of a batch or a fine-tune that has."""

from __future__ import annotations

import time

from ..ports import Job
from .exchange import CLIENT_GONE, Exchange
from .ledger import Entry, Ledger, Outcome
from .limits import Admission, Limiter
from .prices import Prices
from .principal import Principal
from .usage import NOTHING, Used

BATCHES = "/v1/batches"
TUNING = "/v1/fine_tuning/jobs"
INDEXING = "/v1/vector_stores/{id}/files"
RESPONSES = "/v1/responses"
SEARCH = "/v1/vector_stores/{id}/search"
VIDEOS = "/v1/videos"


class Charges:
    def __init__(self, ledger: Ledger, prices: Prices, limiter: Limiter) -> None:
        self._ledger, self._prices, self._limiter = ledger, prices, limiter

    def check(self) -> None:
        """Raises NotDeployedError when what a request uses couldn't be written down."""
        self._ledger.check()

    def request(self, exchange: Exchange, seconds: float) -> None:
        by, used, model = exchange.principal, exchange.used, exchange.model
        assert by is not None, "a guarded route"
        served = exchange.served if exchange.status in (200, CLIENT_GONE) else 0.0
        spent = self._prices.answer(model, exchange.base, used, served)
        self._ledger.note(
            Entry(
                time.time(),
                by.tenant,
                by.id,
                model or "",
                exchange.route,
                exchange.status,
                _outcome(exchange),
                used.prompt,
                used.completion,
                used.cached,
                spent,
                None if exchange.first_byte is None else round(exchange.first_byte, 6),
                round(seconds, 6),
                exchange.request_id.decode(),
                round(served, 6),
            )
        )
        if exchange.admission is not None:
            exchange.admission.settle(used.prompt + used.completion, spent)

    def background(
        self,
        *,
        id: str,
        by: Principal,
        admission: Admission | None,
        model: str,
        base: str | None,
        used: Used,
        seconds: float,
        served: float,
        outcome: Outcome,
    ) -> None:
        """A response that ran behind its request's back."""
        spent = self._prices.answer(model, base, used, served)
        self._ledger.note(
            Entry(
                time.time(), by.tenant, by.id, model, RESPONSES, 200, outcome,
                used.prompt, used.completion, used.cached, spent, None, round(seconds, 6), id,
                round(served, 6),
            )
        )  # fmt: skip
        if admission is not None:
            admission.settle(used.prompt + used.completion, spent)

    def search(
        self, *, what: str, by: Principal, admission: Admission | None, model: str, tokens: int, seconds: float
    ) -> None:
        """A search that another request made, `what`: what its own model read, at once, whatever becomes of the
        request."""
        spent = self._prices.answer(model, None, Used(tokens), 0.0)
        self._ledger.note(
            Entry(
                time.time(), by.tenant, by.id, model, SEARCH, 200, "answered",
                tokens, 0, 0, spent, None, round(seconds, 6), what,
            )
        )  # fmt: skip
        if admission is not None:
            admission.use(tokens, spent)

    def batch(
        self,
        *,
        id: str,
        tenant: str,
        key: str,
        model: str,
        base: str | None,
        used: Used,
        ended: float,
        began: float,
        ran: float = 0.0,
    ) -> None:
        """The same batch again is charged once; `ran` are the seconds of its job. Waits on the store."""
        spent = self._prices.batch(model, base, used, ran)
        self._late(
            Entry(
                ended, tenant, key, model, BATCHES, 200, "answered",
                used.prompt, used.completion, used.cached, spent, None, max(ended - began, 0.0), id, ran,
            )
        )  # fmt: skip

    def training(
        self,
        *,
        id: str,
        tenant: str,
        key: str,
        base: str,
        tokens: int,
        done: bool = True,
        ended: float,
        began: float,
        ran: float = 0.0,
    ) -> None:
        """The same job again is charged once: trained tokens count as the prompt's. One that failed or was cancelled is
        charged for the time it ran, where that has a price, and for no tokens. Waits on the store."""
        spent = self._prices.training(base, tokens, ran)
        if not tokens and not spent:
            return
        self._late(
            Entry(
                ended, tenant, key, base, TUNING, 200, "answered" if done else "failed",
                tokens, 0, 0, spent, None, max(ended - began, 0.0), id, ran,
            )
        )  # fmt: skip

    def indexing(
        self, *, id: str, tenant: str, key: str, model: str, tokens: int, ended: float, began: float
    ) -> None:
        """The same file in the same life in a store again is charged once. Waits on the store."""
        used = Used(tokens)
        spent = self._prices.answer(model, None, used, 0.0)
        self._late(
            Entry(
                ended, tenant, key, model, INDEXING, 200, "answered",
                tokens, 0, 0, spent, None, max(ended - began, 0.0), id,
            )
        )  # fmt: skip

    def video(
        self,
        *,
        id: str,
        tenant: str,
        key: str,
        model: str,
        base: str | None,
        ended: float,
        began: float,
        served: float,
        outcome: Outcome,
    ) -> None:
        """The same film again is charged once. Waits on the store."""
        spent = self._prices.answer(model, base, NOTHING, served)
        self._late(
            Entry(
                ended, tenant, key, model, VIDEOS, 200, outcome,
                0, 0, 0, spent, None, max(ended - began, 0.0), id, round(served, 6),
            )
        )  # fmt: skip

    def _late(self, entry: Entry) -> None:
        """The budget is told again each time, of the whole: a crash between the two leaves it to whoever looks next."""
        if cost := self._ledger.charge(entry):
            self._limiter.spend(entry.key, entry.tenant, entry.what, cost)


def ran(job: Job) -> float:
    """Seconds, of a job that has ended; pauses aren't paid for."""
    if job.started is None or job.finished is None:
        return 0.0
    return round(max(job.finished - job.started - job.idle, 0.0), 6)


def _outcome(exchange: Exchange) -> Outcome:
    if exchange.status == CLIENT_GONE:
        return "left"
    if exchange.broken or exchange.status >= 500:
        return "failed"
    return "answered" if exchange.status < 400 else "refused"
