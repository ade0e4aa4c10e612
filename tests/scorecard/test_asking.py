"""Questions through a real API over a fake host."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import openai
import pytest

from genai_stack.client.endpoint import Endpoint
from genai_stack.client.service import AsyncService
from genai_stack.errors import ModelFailed
from genai_stack.scorecard import asking, marking
from genai_stack.scorecard.asking import Answered, Series, ask_all
from genai_stack.training.world.questions import Question
from tests.scorecard.knowing import CHAT, KnowingHost, api_of


def question(task: str, expected: Any, **body: Any) -> Question:
    return Question(task=task, body=body, expected=expected, facts=(), passage="")


SERIES = [
    Series(
        "answer",
        CHAT,
        [
            question("answer", f"{n} euros", question=f"How much is {n}?", passages=[f"It is {n} euros."])
            for n in range(9)
        ],
        {"exact": marking.answer},
    ),
    Series(
        "unstated",
        CHAT,
        [question("answer", None, question="Who?", passages=["It rains."])],
        {"not found": marking.unstated},
    ),
    Series(
        "classify", CHAT, [question("classify", "a", text="An a.", labels=["b", "a"])], {"exact": marking.label}
    ),
    Series(
        "translate",
        CHAT,
        [question("translate", "Le chien.", text="The dog.", target="fr")],
        {"exact": marking.exact},
    ),
    Series("summarize", CHAT, [question("summarize", "A dog.", text="A dog barks.")], {"exact": marking.exact}),
    Series(
        "extract",
        CHAT,
        [
            question(
                "extract",
                {"name": "Ada"},
                text="Ada came.",
                schema={
                    "type": "object",
                    "properties": {"name": {"type": ["string", "null"]}},
                    "required": ["name"],
                },
            )
        ],
        {"equal": marking.same_data},
    ),
    Series(
        "talk",
        CHAT,
        [question("chat", "Hi.", messages=[{"role": "user", "content": "Hello"}])],
        {"exact": marking.exact},
    ),
]


@pytest.fixture
def host() -> KnowingHost:
    made = KnowingHost()
    made.series = SERIES
    return made


@pytest.fixture
def endpoint(host: KnowingHost) -> Iterator[Endpoint]:
    with api_of(host) as found:
        yield found


def ask(endpoint: Endpoint, series: list[Series], **options: Any) -> list[Answered]:
    async def asked() -> list[Answered]:
        service = AsyncService(endpoint)
        try:
            return await ask_all(service, series, **options)
        finally:
            await service.close()

    return asyncio.run(asked())


def test_each_task_comes_back_in_order_and_marked(host: KnowingHost, endpoint: Endpoint) -> None:
    heard: list[Answered] = []
    answers = ask(endpoint, SERIES, in_flight=4, told=heard.append)
    assert [each.series for each in answers] == ["answer"] * 9 + [each.name for each in SERIES[1:]]
    assert [each.said for each in answers[:9]] == [f"{n} euros" for n in range(9)]
    assert all(all(each.right.values()) for each in answers), answers
    assert sorted(each.series for each in heard) == sorted(each.series for each in answers)
    assert {body["temperature"] for body in host.bodies} == {0}


def test_what_is_said_wrong_is_wrong(host: KnowingHost, endpoint: Endpoint) -> None:
    host.wrong = {each.name for each in SERIES}
    answers = ask(endpoint, SERIES)
    assert not any(any(each.right.values()) for each in answers)
    assert all(each.error is None for each in answers)


def test_a_refused_request_is_wrong_and_says_why(host: KnowingHost, endpoint: Endpoint) -> None:
    refused = question("translate", "x", text="The dog.", target="xx")
    nothing_found = question("answer", None, question="", passages=["It rains."])
    series = [
        Series("bad", CHAT, [refused, *SERIES[3].questions], {"exact": marking.exact}),
        Series("none", CHAT, [nothing_found], {"not found": marking.unstated}),
    ]
    bad, good, none = ask(endpoint, series)
    assert bad.right == {"exact": False}
    assert bad.error is not None
    assert "no known language code" in bad.error
    assert (good.right, good.error) == ({"exact": True}, None)
    assert none.right == {"not found": False}, "a failure isn't the model's 'not stated'"
    assert none.error


def test_a_host_that_breaks_makes_every_answer_wrong(host: KnowingHost, endpoint: Endpoint) -> None:
    host.failure = ModelFailed("the model broke")
    host.failure.should_retry = False
    answers = ask(endpoint, SERIES[-1:])
    assert [(each.said, each.right) for each in answers] == [(None, {"exact": False})]
    assert "the model broke" in str(answers[0].error)


def test_a_model_that_isn_t_there_is_told_before_anything_is_asked(
    host: KnowingHost, endpoint: Endpoint
) -> None:
    absent = Series("talk", "nope", SERIES[-1].questions, SERIES[-1].marks)
    with pytest.raises(openai.NotFoundError):
        ask(endpoint, [SERIES[0], absent])
    assert host.bodies == []


class Leaving(BaseHTTPRequestHandler):
    """Knows every model, and hangs up on every question."""

    def do_GET(self) -> None:
        body = json.dumps({"id": CHAT, "object": "model", "created": 1, "owned_by": "me"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_an_api_that_goes_away_is_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "TRIES", 1)
    with ThreadingHTTPServer(("127.0.0.1", 0), Leaving) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        gone = Endpoint(f"http://127.0.0.1:{server.server_port}/v1", "sk-x")
        try:
            with pytest.raises(openai.APIConnectionError):
                ask(gone, SERIES[:1])
        finally:
            server.shutdown()
