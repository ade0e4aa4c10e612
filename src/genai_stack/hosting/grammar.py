"""What is asked of an answer's form, as a grammar the engine enforces while it decodes."""

from __future__ import annotations

from ..protocol import ChatRequest, JsonObject, JsonSchema, NamedTool, Tool
from .calls import CLOSE, OPEN
from .literals import literal
from .schema import Grammar
from .wire import Tags


def wants_calls(request: ChatRequest) -> bool:
    """Whether the model may call tools."""
    return bool(request.tools) and request.tool_choice != "none"


def for_chat(request: ChatRequest) -> str | Tags | None:
    """None where any text will do. Raises RequestError naming the keyword of a schema that can't be enforced."""
    grammar = Grammar()
    document = _document(request, grammar)
    if not wants_calls(request):
        return grammar.text(document) if document else None
    calls = _calls(request, grammar)
    if isinstance(request.tool_choice, NamedTool) or request.tool_choice == "required":
        return grammar.text(calls)
    if document:
        return grammar.text(f"{calls} | {document}")
    inside = _one_of(_offered(request), grammar)
    return Tags(OPEN, [(OPEN, grammar.text(inside), CLOSE)], at_most_one=request.parallel_tool_calls is False)


def _document(request: ChatRequest, grammar: Grammar) -> str | None:
    form = request.response_format
    if isinstance(form, JsonObject):
        return grammar.any_object()
    if isinstance(form, JsonSchema):
        return grammar.schema(form.json_schema.schema, "response_format.json_schema.schema")
    return None


def _offered(request: ChatRequest) -> list[tuple[int, Tool]]:
    """The tools that may be called, with their places in the request."""
    tools = list(enumerate(request.tools or ()))
    choice = request.tool_choice
    if isinstance(choice, NamedTool):
        return [(i, tool) for i, tool in tools if tool.function.name == choice.function.name]
    return tools


def _calls(request: ChatRequest, grammar: Grammar) -> str:
    call = f"({literal(OPEN)} ({_one_of(_offered(request), grammar)}) {literal(CLOSE)})"
    single = request.parallel_tool_calls is False or isinstance(request.tool_choice, NamedTool)
    return call if single else f'({call} ("\\n" {call})*)'


def _one_of(tools: list[tuple[int, Tool]], grammar: Grammar) -> str:
    """A call's inside, between OPEN and CLOSE."""
    alternatives = []
    for place, tool in tools:
        parameters = tool.function.parameters
        arguments = (
            grammar.schema(parameters, f"tools[{place}].function.parameters", top="object")
            if parameters
            else literal("{}")
        )
        head = literal(f'{{"name": "{tool.function.name}", "arguments": ')
        alternatives.append(f'("\\n"? {head} {arguments} "}}" "\\n"?)')
    return " | ".join(alternatives)
