"""Conversations with tools: the right tool with arguments copied from the question, or an answer without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .drills import talk
from .names import OBJECTS, Draw
from .routes import Chat, assistant, user
from .system_turns import with_system

Make = Callable[[Draw], Any]


def _tool(name: str, description: str, **types: str) -> dict[str, Any]:
    properties = {key: {"type": kind} for key, kind in types.items()}
    schema = {"type": "object", "properties": properties, "required": list(types)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def _small(draw: Draw) -> int:
    return draw.number(1, 99)


TOOLS: tuple[tuple[dict[str, Any], dict[str, Make], tuple[str, ...], str, Make], ...] = (
    (
        _tool("get_weather", "The weather in a city", city="string"),
        {"city": Draw.place},
        (
            "What is the weather in {city}?",
            "How is the weather in {city}?",
            "Weather in {city}?",
            "Is it raining in {city}?",
            "What's the weather like in {city}?",
        ),
        "It is {result} in {city}.",
        lambda d: d.one(["sunny", "rainy", "cloudy", "windy"]),
    ),
    (
        _tool("get_time", "The time in a city", city="string"),
        {"city": Draw.place},
        ("What time is it in {city}?", "Tell me the time in {city}.", "Time in {city}?"),
        "It is {result} in {city}.",
        Draw.time,
    ),
    (
        _tool("add", "Add two numbers", a="integer", b="integer"),
        {"a": _small, "b": _small},
        ("Add {a} and {b}.", "What is {a} plus {b}?", "What is {a} + {b}?"),
        "The sum is {result}.",
        _small,
    ),
    (
        _tool("find_order", "Look up an order", order="string"),
        {"order": Draw.code},
        ("Where is order {order}?", "Find order {order}.", "What is the status of order {order}?"),
        "Order {order} is {result}.",
        lambda d: d.one(["on its way", "delivered", "late", "being packed"]),
    ),
    (
        _tool("search", "Search the documents", query="string"),
        {"query": lambda d: f"{d.one(OBJECTS)} {d.one(['prices', 'repair', 'colours', 'sizes'])}"},
        ("Search for {query}.", "Find documents about {query}.", "Look up {query}."),
        "I found {result} about {query}.",
        lambda d: f"{d.number(1, 9)} documents",
    ),
    (
        _tool("send_message", "Send a message to a person", to="string", text="string"),
        {
            "to": Draw.first_name,
            "text": lambda d: d.one(["hello", "I am late", "see you soon", "call me", "happy birthday"]),
        },
        ("Send {to} the message: {text}", "Tell {to}: {text}", 'Write "{text}" to {to}.'),
        "I sent the message to {to}.",
        lambda d: "sent",
    ),
    (
        _tool("get_price", "The price of a product", product="string"),
        {"product": Draw.product},
        ("What does {product} cost?", "How much is {product}?", "What is the price of {product}?"),
        "{product} costs {result}.",
        Draw.money,
    ),
    (
        _tool("get_capital", "The capital of a country", country="string"),
        {"country": Draw.place},
        ("What is the capital of {country}?", "Which city is the capital of {country}?"),
        "The capital of {country} is {result}.",
        Draw.place,
    ),
    (
        _tool("book_table", "Book a table", place="string", people="integer", time="string"),
        {"place": Draw.place, "people": lambda d: d.number(1, 9), "time": Draw.time},
        (
            "Book a table for {people} in {place} at {time}.",
            "I need a table in {place} for {people} people at {time}.",
        ),
        "The table for {people} in {place} is booked.",
        lambda d: "booked",
    ),
)


def call(name: str, arguments: dict[str, Any]) -> str:
    """How the model writes a tool call."""
    return (
        "<tool_call>" + json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False) + "</tool_call>"
    )


def conversation(draw: Draw) -> tuple[list[dict[str, Any]], Chat]:
    """The tools on offer and the conversation."""
    chosen = draw.random.sample(TOOLS, draw.number(1, 3))
    tools = [_vary(draw, entry[0]) for entry in draw.random.sample(chosen, len(chosen))]
    if draw.chance(0.2):
        return tools, talk(draw)
    tool, makers, asks, reply, make_result = chosen[0]
    name = tool["function"]["name"]
    offered = next(
        t
        for t in tools
        if t["function"]["parameters"] == tool["function"]["parameters"]
        and t["function"]["description"] == tool["function"]["description"]
    )
    arguments = {key: make(draw) for key, make in makers.items()}
    name = offered["function"]["name"]
    chat = [user(draw.one(asks).format(**arguments))]
    if draw.chance(0.5):
        return tools, with_system(draw, [*chat, assistant(call(name, arguments))])
    result = make_result(draw)
    content = json.dumps({"result": result}) if draw.chance(0.5) else str(result)
    turn = {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
        ],
    }
    chat += [
        turn,
        {"role": "tool", "tool_call_id": "call_1", "content": content},
        assistant(reply.format(result=result, **arguments)),
    ]
    return tools, with_system(draw, chat)


def _vary(draw: Draw, tool: dict[str, Any]) -> dict[str, Any]:
    """The tool under its own or another name, so that the name is read from the prompt."""
    function = dict(tool["function"])
    if draw.chance(0.4):
        function["name"] = draw.one(("{}", "{}_tool", "my_{}", "do_{}", "{}_now")).format(function["name"])
        if draw.chance(0.3):
            function["name"] = "".join(part.capitalize() for part in function["name"].split("_"))
    return {"type": "function", "function": function}
