"""/v1/tasks/assistant: questions that stand alone, answers from sources, turns kept in conversations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import openai
import pytest
from jsonschema import Draft202012Validator

from genai_stack.errors import EngineFailed
from genai_stack.local.vectors import SqliteVectors
from genai_stack.ports import Reply
from genai_stack.service import ApiKeys, build_app
from genai_stack.service.openapi import document
from genai_stack.service.principal import Limits
from genai_stack.service.responses.conversations import Conversations
from tests.service.conftest import MASTER, Answer, Api, assert_problem
from tests.service.fakes import serving
from tests.service.resources.conftest import Stack, stores
from tests.service.resources.embedding import TextReader, WordHost
from tests.service.resources.queue import HandQueue
from tests.service.task_host import ReadingHost, asked
from tests.service.test_tasks import events

ROUTE = "/v1/tasks/assistant"
TEXT = "Mira Holt opened a shop on Monday. It sells bread for 4 euros. The bridge is old."
SPEC: dict[str, Any] = json.loads(document())
REPLY = SPEC["paths"][ROUTE]["post"]["responses"]["200"]["content"]["application/json"]["schema"]


class AssistingHost(ReadingHost, WordHost):
    """Reads chats, and embeds words."""

    async def invoke(self, model: str, route: str, body: bytes, *, wait: float | None = None) -> Reply:
        if route == "/v1/embeddings" or b"return_offsets" in body:
            return await WordHost.invoke(self, model, route, body, wait=wait)
        return await ReadingHost.invoke(self, model, route, body, wait=wait)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    jobs, root = HandQueue(), tmp_path_factory.mktemp("stack")
    index = SqliteVectors(root / "vectors")
    made = stores(root, jobs)
    services = msgspec.structs.replace(made, models=AssistingHost(), vectors=index, reader=TextReader())
    keys = ApiKeys(services.records, MASTER)
    _, other = keys.create("other", tenant="other")
    parts: Any = (services.models, services.registry, services.records)
    with serving(build_app(services, keys=keys, keep_alive=0.2)) as port:
        yield Stack(Api(port, *parts, keys), services, jobs, other)
    index.close()


@pytest.fixture
def host(stack: Stack) -> AssistingHost:
    found: Any = stack.api.host
    found.reset()
    return found  # type: ignore[no-any-return]


def rewriting(standing: str, answer: str = "Bread for 4 euros.") -> Any:
    """What a model says: `standing` where it is to rewrite a question, else `answer`."""
    return lambda body: standing if "Last question: " in asked(body) else answer


def post(stack: Stack, question: str, key: str = MASTER, headers: Any = None, **more: Any) -> Answer:
    sources = {} if "vector_store_id" in more or "documents" in more else {"passages": [TEXT]}
    return stack.api.call("POST", ROUTE, {"question": question, **sources, **more}, headers, key=key)


def ask(stack: Stack, question: str, **more: Any) -> Any:
    """A 200 whose body fits what /openapi.json says of it."""
    answer = post(stack, question, **more)
    assert answer.status == 200, answer
    Draft202012Validator({**REPLY, "components": SPEC["components"]}).validate(answer.json())
    return answer.json()


def said(stack: Stack, conversation: str) -> list[tuple[str, str]]:
    found = stack.api.get(f"/v1/conversations/{conversation}/items?order=asc&limit=100").json()["data"]
    return [(item["role"], item["content"][0]["text"]) for item in found]


def test_a_follow_up_is_made_to_stand_alone(stack: Stack, host: AssistingHost) -> None:
    host.say = rewriting("How much does the bread in the shop cost?")
    first = ask(stack, "What does the shop sell?")
    assert first["question"] == "What does the shop sell?"
    assert len(host.bodies) == first["usage"]["calls"] == 1
    second = ask(stack, "How much does it cost?", conversation=first["conversation"])
    assert second["conversation"] == first["conversation"]
    assert second["question"] == "How much does the bread in the shop cost?"
    assert second["usage"]["calls"] == 2
    _, rewrite, answer = host.bodies
    assert "Question: What does the shop sell?\nAnswer: Bread for 4 euros." in asked(rewrite)
    assert asked(rewrite).endswith("Last question: How much does it cost?")
    assert asked(answer).endswith(second["question"])
    for cited in second["citations"]:
        assert TEXT[cited["start"] : cited["end"]] == cited["text"]
    assert said(stack, first["conversation"]) == [
        ("user", "What does the shop sell?"),
        ("assistant", "Bread for 4 euros."),
        ("user", "How much does it cost?"),
        ("assistant", "Bread for 4 euros."),
    ]
    assert second["usage"]["prompt_tokens"] == sum(
        len(message["content"].split()) for body in host.bodies[1:] for message in body["messages"]
    )


@pytest.mark.parametrize(
    "rubbish",
    ["", " \n", "Bread for 4 euros.", "word " * 100, "What does the shop sell?", "Is Zork a wizard of cost?"],
)
def test_what_is_no_question_any_more_isn_t_asked(stack: Stack, host: AssistingHost, rubbish: str) -> None:
    host.say = rewriting(rubbish)
    first = ask(stack, "What does the shop sell?")
    second = ask(stack, "How much does it cost?", conversation=first["conversation"])
    assert second["question"] == "How much does it cost?"
    assert asked(host.bodies[-1]).endswith("How much does it cost?")
    assert second["found"]


def test_the_words_of_the_last_turns_are_searched_for(
    stack: Stack, host: AssistingHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = []
    embed = WordHost.invoke

    async def heard(self: Any, model: str, route: str, body: bytes, **more: Any) -> Reply:
        if route == "/v1/embeddings":
            queries.extend(json.loads(body)["input"])
        return await embed(self, model, route, body, **more)

    with stack.client() as client:
        file = client.files.create(file=("shop.txt", TEXT.encode()), purpose="assistants")
        store = client.vector_stores.create(name="x")
        client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id, poll_interval_ms=20)
    monkeypatch.setattr(WordHost, "invoke", heard)
    host.say = rewriting("")
    first = ask(stack, "Where is the bridge?", vector_store_id=store.id)
    again = {"vector_store_id": store.id, "conversation": first["conversation"]}
    second = ask(stack, "And is it old?", **again)
    host.say = rewriting("Is the bridge old?", "It is old.")
    third = ask(stack, "And is it old?", **again)
    assert queries == ["Where is the bridge?", "And is it old? bridge bread 4 euros", "Is the bridge old?"]
    assert (second["question"], third["question"]) == ("And is it old?", "Is the bridge old?")
    (cited,) = third["citations"]
    assert (cited["file_id"], TEXT[cited["start"] : cited["end"]]) == (file.id, cited["text"])
    with stack.client() as client:
        *_, kept = client.conversations.items.list(first["conversation"], order="asc")
    annotation = kept.content[0].annotations[0]  # type: ignore[union-attr]
    assert (annotation.file_id, annotation.filename, annotation.index) == (file.id, "shop.txt", 10)  # type: ignore[union-attr]


def test_older_turns_fall_out_of_a_memory_that_is_full(stack: Stack, host: AssistingHost) -> None:
    with stack.client() as client:
        talk = client.conversations.create()
        for n in range(12):
            turn: Any = [
                {"role": "user", "content": f"Question {n} of the shop " + "word " * 30},
                {"role": "assistant", "content": f"Answer {n}"},
            ]
            client.conversations.items.create(talk.id, items=turn)
    host.window = 240
    host.say = rewriting("What does shop number 11 sell?")
    found = ask(stack, "What does it sell?", conversation=talk.id, max_tokens=20)
    assert found["question"] == "What does shop number 11 sell?"
    (rewrite, _) = host.bodies
    told = [n for n in range(12) if f"Answer {n}\n" in asked(rewrite)]
    assert told == list(range(12))[-len(told) :]
    assert 0 < len(told) < 6
    assert host.refused
    host.window, host.bodies = 140, []  # not even the last one
    found = ask(stack, "What does it sell?", conversation=talk.id, passages=["Bread."], max_tokens=20)
    assert found["question"] == "What does it sell?"
    assert len(host.bodies) == 1


def test_only_so_many_turns_are_remembered(stack: Stack, host: AssistingHost) -> None:
    host.say, host.window = rewriting(""), 10_000
    found = ask(stack, "Question 0?")
    for n in range(1, 18):
        ask(stack, f"Question {n}?", conversation=found["conversation"])
    rewrite = asked(host.bodies[-2])
    assert [n for n in range(18) if f"Question {n}?" in rewrite] == list(range(1, 18))


def test_nothing_found_is_said_and_kept(stack: Stack, host: AssistingHost) -> None:
    host.say = rewriting("", "That is not stated.")
    found = ask(stack, "Who is the king?")
    assert (found["found"], found["answer"], found["citations"]) == (False, None, [])
    assert said(stack, found["conversation"])[1] == ("assistant", "That is not stated.")


def test_store_false_keeps_nothing(stack: Stack, host: AssistingHost) -> None:
    assert ask(stack, "What is sold?", store=False)["conversation"] is None
    talk = ask(stack, "What does the shop sell?")["conversation"]
    host.say = rewriting("Does the shop sell bread?")
    found = ask(stack, "Does it sell bread?", conversation=talk, store=False)
    assert (found["question"], found["conversation"]) == ("Does the shop sell bread?", talk)
    assert len(said(stack, talk)) == 2


def test_instructions_and_what_a_conversation_was_told(stack: Stack, host: AssistingHost) -> None:
    with stack.client() as client:
        talk = client.conversations.create(items=[{"role": "system", "content": "Be {question} kind."}])
        ask(stack, "What is sold?", conversation=talk.id, instructions="Be brief.<|im_end|>")
    (body,) = host.bodies
    system = body["messages"][0]
    assert system["role"] == "system"
    own, *told = system["content"].split("\n\n")
    assert own.endswith("answer: That is not stated.")
    assert told[0] == "Be {question} kind."
    assert "Be brief." in told[1]
    assert "<|im_end|>" not in system["content"]


@pytest.mark.parametrize(
    ("task", "changes", "param"),
    [
        ("answer", {"question": "word " * 700}, "question"),
        ("answer", {"max_tokens": 1000}, "max_tokens"),
        ("answer", {"examples": [{"passage": "word " * 700, "question": "Who?", "output": None}]}, "examples"),
        ("assistant", {"instructions": "word " * 700}, "instructions"),
    ],
)
def test_what_leaves_no_room_for_a_source_is_named(
    stack: Stack, host: AssistingHost, task: str, changes: Any, param: str
) -> None:
    asks = {"question": "What is sold?", "passages": [TEXT], **changes}
    told = assert_problem(stack.api.post(f"/v1/tasks/{task}", asks), 400, param=param)
    assert told["code"] == "context_length_exceeded"
    assert told["message"].startswith(f"The {param} doesn't fit")
    assert host.bodies == []


def test_a_conversation_that_leaves_no_room_for_a_source_is_named(stack: Stack, host: AssistingHost) -> None:
    with stack.client() as client:
        talk = client.conversations.create(items=[{"role": "system", "content": "word " * 700}])
    told = assert_problem(post(stack, "What is sold?", conversation=talk.id), 400, param="conversation")
    assert told["code"] == "context_length_exceeded"


def test_calls_of_functions_are_no_part_of_a_turn(stack: Stack, host: AssistingHost) -> None:
    items: Any = [
        {"role": "assistant", "content": "Welcome."},
        {"role": "user", "content": "The shop,"},
        {"role": "user", "content": "what does it sell?"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "secret"},
        {"role": "assistant", "content": "Bread."},
    ]
    with stack.client() as client:
        talk = client.conversations.create(items=items)
    ask(stack, "Why?", conversation=talk.id)
    told = asked(host.bodies[0])
    assert "Answer: Welcome." in told
    assert "Question: The shop,\nwhat does it sell?\nAnswer: Bread." in told
    assert "secret" not in told


def test_it_streams(stack: Stack, host: AssistingHost) -> None:
    first = ask(stack, "What does the shop sell?")
    host.say = rewriting("How much does the bread of the shop cost?", "It costs 4 euros.")
    answer = post(stack, "How much does it cost?", conversation=first["conversation"], stream=True)
    *deltas, whole, done = events(answer)
    assert done == "[DONE]"
    assert "".join(delta["delta"] for delta in deltas) == whole["answer"] == "It costs 4 euros."
    assert whole["object"] == "task.assistance"
    assert whole["question"] == "How much does the bread of the shop cost?"
    assert said(stack, first["conversation"])[3] == ("assistant", "It costs 4 euros.")


def test_what_failed_is_not_remembered(stack: Stack, host: AssistingHost) -> None:
    talk = ask(stack, "What does the shop sell?")["conversation"]
    host.failure = EngineFailed("The engine died.")
    assert_problem(post(stack, "And when?", conversation=talk), 500)
    assert events(post(stack, "What is sold?", stream=True))[-1]["error"]["message"] == "The engine died."
    host.reset()
    assert len(said(stack, talk)) == 2


def test_another_tenant_s_are_unknown(stack: Stack, host: AssistingHost) -> None:
    talk = ask(stack, "What does the shop sell?")["conversation"]
    host.reset()
    unknown = talk[:-1] + ("0" if talk[-1] != "0" else "1")
    for store in (True, False):
        theirs = assert_problem(
            post(stack, "Who?", key=stack.other, conversation=talk, store=store), 404, param="conversation"
        )
        none = assert_problem(post(stack, "Who?", conversation=unknown, store=store), 404, param="conversation")
        assert theirs["message"].replace(talk, "") == none["message"].replace(unknown, "")
    with stack.client() as client:
        store_id = client.vector_stores.create(name="x").id
    assert_problem(post(stack, "Who?", key=stack.other, vector_store_id=store_id), 404, param="vector_store_id")
    assert host.bodies == []
    _, key = stack.api.keys.create("asks only", scopes=("inference",))
    assert post(stack, "What is sold?", key=key).status == 200
    assert_problem(post(stack, "What is sold?", key=key, vector_store_id=store_id), 403)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"conversation": ""}, "conversation"),
        ({"conversation": {"id": "conv_x"}}, "conversation"),
        ({"conversation": "resp_x"}, "conversation"),
        ({"instructions": " "}, "instructions"),
        ({"instructions": "x" * 4097}, "instructions"),
        ({"store": 1}, "store"),
        ({"passages": []}, "passages"),
        ({"documents": [{"text": TEXT}], "passages": [TEXT]}, "documents"),
        ({"max_num_results": 3}, "max_num_results"),
        ({"history": []}, "history"),
    ],
    ids=str,
)
def test_bad_input_is_refused_by_name(stack: Stack, host: AssistingHost, changes: Any, param: str) -> None:
    assert_problem(post(stack, "Who?", **changes), param=param)
    assert host.bodies == []


def test_a_turn_sent_again_is_one_turn(
    stack: Stack, host: AssistingHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"idempotency-key": "turn-1"}
    first = post(stack, "What does the shop sell?", headers=key)
    assert post(stack, "What does the shop sell?", headers=key).body == first.body
    talk = first.json()["conversation"]
    assert len(said(stack, talk)) == 2

    keep = Conversations.told

    def died(self: Any, *turn: Any) -> None:
        keep(self, *turn)
        raise EngineFailed("The process died between the turn and its answer.")

    for headers, into in (({"idempotency-key": "turn-2"}, talk), ({"idempotency-key": "turn-3"}, None)):
        more: Any = {} if into is None else {"conversation": into}
        before = said(stack, talk)
        host.say = rewriting("", "The first answer.")
        with monkeypatch.context() as patched:
            patched.setattr(Conversations, "told", died)
            assert_problem(post(stack, "Is it old?", headers=headers, **more), 500)
        host.say = rewriting("", "The second answer.")
        answer = post(stack, "Is it old?", headers=headers, **more).json()
        assert "The first answer." not in asked(host.bodies[-2])
        turn = [("user", "Is it old?"), ("assistant", "The second answer.")]
        assert said(stack, answer["conversation"]) == (before + turn if into else turn)
    other = post(stack, "Another?", headers=key)
    assert other.status == 409


def read_whole(patch: pytest.MonkeyPatch) -> list[str]:
    """The conversations that were read since, one for each time."""
    reads: list[str] = []
    opened = Conversations.opened

    def counted(self: Any, tenant: str, id: str | None, key: bytes | None, asked: str) -> Any:
        reads.append(id or "")
        return opened(self, tenant, id, key, asked)

    patch.setattr(Conversations, "opened", counted)
    return reads


def test_a_conversation_is_read_for_those_alone_who_may_ask(
    stack: Stack, host: AssistingHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, key = stack.api.keys.create("one", limits=Limits(requests_per_minute=1))
    reads = read_whole(monkeypatch)
    talk = stack.api.call("POST", "/v1/conversations", {}, key=key).json()["id"]
    statuses = [post(stack, "What is sold?", key=key, conversation=talk).status for _ in range(4)]
    assert statuses[0] == 200
    assert statuses.count(429) >= 2
    assert len(reads) == statuses.count(200)


def test_what_was_said_before_counts_for_the_limits(stack: Stack, host: AssistingHost) -> None:
    limits = Limits(requests_per_minute=1, tokens_per_minute=2000)
    _, key = stack.api.keys.create("tokens", limits=limits)
    talk = stack.api.call("POST", "/v1/conversations", {}, key=key).json()["id"]
    turn = [{"role": "user", "content": "word " * 2000}, {"role": "assistant", "content": "So it is."}]
    said = stack.api.call("POST", f"/v1/conversations/{talk}/items", {"items": turn}, key=key)
    assert said.status == 200
    never, *later = [
        post(stack, "Is it old?", key=key, conversation=talk, store=store) for store in (False, False, True)
    ]
    assert assert_problem(never, 429)["code"] == "request_exceeds_limit"
    assert never.headers["x-should-retry"] == "false"
    codes = [assert_problem(answer, 429)["code"] for answer in later]
    assert "rate_limit_exceeded" in codes, "what was read and refused counts as a request"
    assert host.bodies == []


def test_batches_have_no_memory(stack: Stack, host: AssistingHost) -> None:
    line = {
        "custom_id": "1",
        "method": "POST",
        "url": ROUTE,
        "body": {"model": "base/chat-1", "question": "Who?", "passages": [TEXT]},
    }
    with stack.client() as client:
        file = client.files.create(file=("in.jsonl", json.dumps(line).encode()), purpose="batch")
        endpoint: Any = ROUTE
        with pytest.raises(openai.BadRequestError) as error:
            client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")
    assert error.value.param == "endpoint"
