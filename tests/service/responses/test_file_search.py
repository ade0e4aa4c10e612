"""The file_search tool: what is searched, what the model is told, and what is cited."""

from __future__ import annotations

import time
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_stack.protocol.items import FoundText
from genai_stack.protocol.replies import ChatChunkChoice, MessageDelta, ToolCallDelta
from genai_stack.service.responses.citing import citations
from genai_stack.service.responses.draft import Draft
from genai_stack.service.responses.fitting import stretch
from tests.service.conftest import assert_problem
from tests.service.fakes import CHAT, EMBED
from tests.service.resources.conftest import Stack
from tests.service.responses.talking import TalkHost

WORDS = {
    "cats.txt": "The cat sleeps on the warm windowsill and purrs all day.",
    "ships.txt": "A ship crosses the ocean and brings containers to the harbour.",
    "bread.txt": "Knead the dough, let it rise, and bake the bread in a hot oven.",
}


@pytest.fixture(scope="module")
def store(stack: Stack) -> tuple[str, dict[str, str]]:
    with stack.client() as client:
        ids = {
            name: client.files.create(file=(name, text.encode()), purpose="assistants").id
            for name, text in WORDS.items()
        }
        made = client.vector_stores.create(file_ids=list(ids.values()))
        for name, id in ids.items():
            client.vector_stores.files.update(id, vector_store_id=made.id, attributes={"kind": name[:1]})
        deadline = time.monotonic() + 60
        while client.vector_stores.retrieve(made.id).status != "completed":
            assert time.monotonic() < deadline
            time.sleep(0.01)
    return made.id, ids


def tool(store: str, **more: Any) -> Any:
    return {"type": "file_search", "vector_store_ids": [store], **more}


def test_answers_cite_the_file_they_repeat(
    client: openai.OpenAI, host: TalkHost, store: tuple[str, dict[str, str]]
) -> None:
    id, ids = store
    host.says = lambda asked: "You bake the bread in a hot oven. Nothing else is known! See cats.txt."
    made = client.responses.create(
        model=CHAT,
        input="How do I bake bread?",
        instructions="Be brief.",
        tools=[tool(id)],
        include=["file_search_call.results"],
    )
    search, message = made.output
    assert search.type == "file_search_call"
    assert search.id.startswith("fs_")
    assert search.queries == ["How do I bake bread?"]
    assert search.results is not None
    assert search.results[0].file_id == ids["bread.txt"]
    assert search.results[0].text == WORDS["bread.txt"]
    assert search.results[0].attributes == {"kind": "b"}
    (system, user) = host.chats[-1]["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert user["content"].endswith("\n\nHow do I bake bread?")
    assert f"[bread.txt]\n{WORDS['bread.txt']}" in user["content"]
    part: Any = message.content[0]  # type: ignore[union-attr]
    assert [(a.file_id, a.filename, a.index) for a in part.annotations] == [
        (ids["bread.txt"], "bread.txt", 33),
        (ids["cats.txt"], "cats.txt", len(part.text) - 1),
    ]
    bare = client.responses.retrieve(made.id)
    assert bare.output[0].results is None  # type: ignore[union-attr]
    assert client.responses.retrieve(made.id, include=["file_search_call.results"]) == made
    go_on = client.responses.create(model=CHAT, input="And ships?", previous_response_id=made.id)
    assert [item.type for item in go_on.output] == ["message"]
    assert go_on.output[0].content[0].annotations == []  # type: ignore[union-attr]


def test_it_is_streamed(client: openai.OpenAI, host: TalkHost, store: tuple[str, dict[str, str]]) -> None:
    host.says = lambda asked: "A ship crosses the ocean."
    events: Any = list(
        client.responses.create(model=CHAT, input="ship ocean", tools=[tool(store[0])], stream=True)
    )
    kinds = [event.type for event in events]
    assert kinds[:7] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.output_item.done",
    ]
    added = [event for event in events if event.type == "response.output_text.annotation.added"]
    assert [event.annotation.file_id for event in added] == [store[1]["ships.txt"]]
    assert kinds.index("response.output_text.annotation.added") < kinds.index("response.output_text.done")
    assert events[-1].response.output[1].content[0].annotations[0].filename == "ships.txt"


def test_what_it_is_told_to_look_through(
    client: openai.OpenAI, host: TalkHost, store: tuple[str, dict[str, str]]
) -> None:
    def found(question: str = "the cat, the ship and the bread", **more: Any) -> list[str]:
        made = client.responses.create(
            model=CHAT, input=question, tools=[tool(store[0], **more)], include=["file_search_call.results"]
        )
        return [result.filename for result in made.output[0].results]  # type: ignore[union-attr]

    assert len(found()) == 3
    assert len(found(max_num_results=2)) == 2
    assert found(filters={"type": "eq", "key": "kind", "value": "s"}) == ["ships.txt"]
    strict = {"ranker": "default-2024-11-15", "score_threshold": 1.0}
    assert len(found("windowsill", ranking_options=strict)) <= 1
    for choice in ("none", {"type": "function", "name": "f"}):
        function = {"type": "function", "name": "f", "parameters": {}, "strict": False}
        unsearched = client.responses.create(
            model=CHAT,
            input="cat",
            tools=[tool(store[0]), function],
            tool_choice=choice,  # type: ignore[arg-type, list-item]
        )
        assert [item.type for item in unsearched.output] == ["message"]
    for choice in ("required", {"type": "file_search"}):
        searched = client.responses.create(
            model=CHAT,
            input="cat",
            tools=[tool(store[0]), function],
            tool_choice=choice,  # type: ignore[arg-type, list-item]
        )
        assert searched.output[0].type == "file_search_call"
        assert host.chats[-1]["tool_choice"] in ("auto", "none")


def test_a_small_window_gets_the_passages_that_fit(
    client: openai.OpenAI, host: TalkHost, store: tuple[str, dict[str, str]]
) -> None:
    host.window, host.says = 64, lambda asked: "The cat sleeps on the warm windowsill."
    made = client.responses.create(
        model=CHAT, input="Where does the cat sleep?", tools=[tool(store[0])], max_output_tokens=10
    )
    told = host.chats[-1]["messages"][0]["content"]
    assert "[cats.txt]" in told
    assert "[ships.txt]" not in told
    part: Any = made.output[1].content[0]  # type: ignore[union-attr]
    assert [cited.filename for cited in part.annotations] == ["cats.txt"]
    host.counts = False
    client.responses.create(model=CHAT, input="Where does the cat sleep?", tools=[tool(store[0])])
    assert "[ships.txt]" in host.chats[-1]["messages"][0]["content"]


def test_stores_that_are_not_there(
    client: openai.OpenAI, host: TalkHost, stack: Stack, store: tuple[str, dict[str, str]]
) -> None:
    place = "tools[0].vector_store_ids[0]"
    body = {"model": CHAT, "input": "cat", "tools": [tool("vs_" + "0" * 24)]}
    assert_problem(stack.api.post("/v1/responses", body), 404, param=place)
    foreign = {**body, "tools": [tool(store[0])]}
    assert_problem(stack.api.call("POST", "/v1/responses", foreign, key=stack.other), 404, param=place)
    _, narrow = stack.api.keys.create("narrow", tenant="master", scopes=("inference",))
    assert_problem(stack.api.call("POST", "/v1/responses", foreign, key=narrow), 403)
    assert stack.api.call("POST", "/v1/responses", {**foreign, "tools": []}, key=narrow).status == 200
    assert not [asked for asked in host.chats if "cats.txt" in str(asked)]
    deep: Any = {"type": "eq", "key": "kind", "value": "s"}
    for _ in range(9):
        deep = {"type": "and", "filters": [deep]}
    assert_problem(
        stack.api.post("/v1/responses", {**body, "tools": [tool(store[0], filters=deep)]}),
        400,
        param="tools[0].filters",
    )
    chosen = {**foreign, "input": [{"role": "system", "content": "x"}], "tool_choice": {"type": "file_search"}}
    assert_problem(stack.api.post("/v1/responses", chosen), 400, param="input")


SHOP = [
    FoundText("file-a", "hours.txt", 0.9, "The shop opens at 9 on weekdays. It is closed on Sunday."),
    FoundText("file-b", "staff.txt", 0.8, "Ada Lovelace runs the shop. She has worked there since 1990."),
]


def test_the_search_is_charged(
    stack: Stack, client: openai.OpenAI, host: TalkHost, store: tuple[str, dict[str, str]]
) -> None:
    def read() -> int:
        rows = stack.api.get("/v1/usage?by=model").json()["data"]
        return sum(row["prompt_tokens"] for row in rows if row.get("model") == EMBED)

    before = read()
    client.responses.create(model=CHAT, input="cat", tools=[tool(store[0])])
    deadline = time.monotonic() + 60
    while read() == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert read() > before


OLD = [FoundText("file-c", "old-hours.txt", 0.9, "Nothing."), FoundText("file-a", "hours.txt", 0.8, "Nothing.")]


@pytest.mark.parametrize(
    ("answer", "cited"),
    [
        ("See old-hours.txt.", ["old-hours.txt"]),
        ("See hours.txt.", ["hours.txt"]),
        ("See hours.txt.bak or new/hours.txt.", []),
        ("See 'hours.txt', old-hours.txt", ["hours.txt", "old-hours.txt"]),
    ],
)
def test_a_part_of_a_name_names_no_file(answer: str, cited: list[str]) -> None:
    assert [one.filename for one in citations(answer, OLD)] == cited
    spaced = [FoundText("file-d", "all hours.txt", 0.5, "Nothing."), OLD[1]]
    assert [one.filename for one in citations("See all hours.txt", spaced)] == ["all hours.txt"]


@pytest.mark.parametrize(
    ("answer", "cited"),
    [
        ("", []),
        ("I do not know.", []),
        ("Sunday.", [("hours.txt", 7)]),
        ("1990", [("staff.txt", 4)]),
        ("Ada Lovelace runs it. It is closed on Sunday!", [("staff.txt", 21), ("hours.txt", 45)]),
        ("The shop is somewhere in another town entirely.", []),
        ("As hours.txt says.", [("hours.txt", 12)]),
        ('{"closed": "Sunday", "opens": "weekdays"}', [("hours.txt", 41)]),
        ("It opens.\nOn weekdays, the shop opens at 9", [("hours.txt", 42)]),
    ],
)
def test_what_is_cited(answer: str, cited: list[tuple[str, int]]) -> None:
    assert [(one.filename, one.index) for one in citations(answer, SHOP)] == cited
    assert citations(answer, []) == []


def test_long_texts_are_looked_through_beside_the_event_loop() -> None:
    passages = [FoundText(f"file-{n}", f"{n}.txt", 0.5, "the cat sat on the mat " * 20) for n in range(9)]

    def written(text: str, passages: list[FoundText]) -> Draft:
        draft = Draft("resp_1", passages, logprobs=False)
        list(draft.take(ChatChunkChoice(0, MessageDelta(content=text))))
        return draft

    short, long = written("Yes.", passages), written("The cat sat. " * 300, passages)
    assert [draft.cites(None) for draft in (short, long, written("x" * 99_999, []))] == [False, True, False]
    more, calls = MessageDelta(content="more"), MessageDelta(tool_calls=[ToolCallDelta(0)])
    assert [long.cites(ChatChunkChoice(0, delta)) for delta in (more, calls)] == [False, True]


@given(st.text(max_size=200), st.lists(st.text(max_size=100), max_size=4))
def test_citations_are_of_what_was_found_and_inside_the_text(answer: str, texts: list[str]) -> None:
    found = [FoundText(f"file-{n}", f"{n}.txt", 0.5, text) for n, text in enumerate(texts)]
    cited = citations(answer, found)
    assert {one.file_id for one in cited} <= {one.file_id for one in found}
    assert [one.index for one in cited] == sorted(one.index for one in cited)
    assert all(0 < one.index <= len(answer) for one in cited)


def test_the_stretch_that_answers_is_kept() -> None:
    text = "Nothing here. " * 20 + "The key is under the mat. " + "More of nothing. " * 20
    assert "The key is under the mat." in stretch(text, "Where is the key?", 80)
    assert len(stretch(text, "Where is the key?", 80)) <= 80
    assert stretch("word " * 100, "other", 20) == "word word word word"
