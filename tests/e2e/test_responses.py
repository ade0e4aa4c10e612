"""Responses by the built-in model: text, structure, calls, a search that is cited, a conversation, the background."""

from __future__ import annotations

import time
from typing import Any

from pydantic import BaseModel

from tests.live import Live

FILES = {
    "leave.md": b"Every employee has thirty days of paid leave in a year, and carries five of them over.",
    "coffee.html": b"<p>Descale the espresso maker monthly with citric acid.</p>",
    "garden.txt": b"Water the tomatoes at the roots early in the morning, never on the leaves.",
}


class Answer(BaseModel):
    answer: bool


def test_responses_by_the_built_in_model(live: Live) -> None:
    with live.openai(_strict_response_validation=True) as client:
        first = client.responses.create(
            model="builtin", input="Say hello.", temperature=0, max_output_tokens=12
        )
        chat = client.chat.completions.create(
            model="builtin",
            messages=[{"role": "user", "content": "Say hello."}],
            temperature=0,
            max_tokens=12,
        )
        assert first.output_text == chat.choices[0].message.content
        assert first.usage.input_tokens == chat.usage.prompt_tokens
        with client.responses.stream(
            model="builtin", input="Again.", previous_response_id=first.id, temperature=0, max_output_tokens=12
        ) as stream:
            events = list(stream)
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert client.responses.retrieve(events[-1].response.id).output_text == text
        parsed = client.responses.parse(
            model="builtin", input="Is it?", text_format=Answer, max_output_tokens=40
        )
        assert isinstance(parsed.output_parsed, Answer)
        tool: Any = {
            "type": "function",
            "name": "order_status",
            "parameters": {
                "type": "object",
                "properties": {"order": {"enum": ["A1", "B2"]}},
                "required": ["order"],
                "additionalProperties": False,
            },
            "strict": True,
        }
        called = client.responses.create(
            model="builtin",
            input="Where is order A1?",
            tools=[tool],
            tool_choice="required",
            max_output_tokens=60,
        )
        call = called.output[0]
        assert (call.type, call.name) == ("function_call", "order_status")
        told = client.responses.create(
            model="builtin",
            previous_response_id=called.id,
            input=[{"type": "function_call_output", "call_id": call.call_id, "output": "It is on its way."}],
            tools=[tool],
            max_output_tokens=40,
        )
        assert told.status in ("completed", "incomplete")


def test_a_search_before_the_answer(live: Live) -> None:
    with live.openai(_strict_response_validation=True) as client:
        ids = {
            client.files.create(file=(name, content), purpose="assistants").id: name
            for name, content in FILES.items()
        }
        store = client.vector_stores.create(name="desk", file_ids=list(ids))
        deadline = time.monotonic() + 60
        while client.vector_stores.retrieve(store.id).status == "in_progress":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        asked: dict[str, Any] = {
            "model": "builtin",
            "input": "How much vacation do I get in a year?",
            "tools": [{"type": "file_search", "vector_store_ids": [store.id], "max_num_results": 2}],
            "include": ["file_search_call.results"],
            "temperature": 0,
            "max_output_tokens": 60,
        }
        made = client.responses.create(**asked)
        search, message = made.output
        assert search.results[0].filename == "leave.md"
        for cited in message.content[0].annotations:
            assert ids[cited.file_id] == cited.filename
            assert cited.file_id in [result.file_id for result in search.results]
        talk = client.conversations.create()
        behind = client.responses.create(**asked, conversation=talk.id, background=True)
        while (behind := client.responses.retrieve(behind.id)).status in ("queued", "in_progress"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert behind.output_text == made.output_text
        kinds = [item.type for item in client.conversations.items.list(talk.id, order="asc")]
        assert kinds == ["message", "file_search_call", "message"]
        client.vector_stores.delete(store.id)
        for id in ids:
            client.files.delete(id)
