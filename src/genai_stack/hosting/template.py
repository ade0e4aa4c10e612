"""A model's chat template: Jinja as transformers renders it, in a sandbox."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from ..errors import InvalidModel, RequestError

_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


class _Generation(jinja2.ext.Extension):
    """`{% generation %}` marks an assistant's words for training; here it only passes them through."""

    tags = {"generation"}

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node | list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    def __init__(self, source: str, tokens: dict[str, str], with_tools: str | None = None) -> None:
        """`with_tools` is the template for a conversation that has tools, where the model has two.
        Raises InvalidModel."""
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        self._tokens = tokens
        try:
            self._plain = environment.from_string(source)
            self._with_tools = environment.from_string(with_tools) if with_tools else self._plain
        except jinja2.TemplateError as error:
            raise InvalidModel(f"the chat template can't be used: {error}") from error

    def render(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, answer: bool) -> str:
        """Raises RequestError when the template refuses the conversation."""
        template = self._with_tools if tools else self._plain
        try:
            return template.render(messages=messages, tools=tools, add_generation_prompt=answer, **self._tokens)
        except Exception as error:  # a template may fail in any way a program can
            raise RequestError(
                f"The model's chat template can't render these messages: {error}; check their roles and order.",
                param="messages",
                code="invalid_value",
            ) from error


def load_template(directory: Path, settings: dict[str, Any]) -> ChatTemplate | None:
    """From chat_template.jinja, else from `settings` (tokenizer_config.json). None where the model has none."""
    tokens = {name: text for name in _TOKENS if (text := _token_text(settings.get(name))) is not None}
    file = directory / "chat_template.jinja"
    if file.is_file():
        return ChatTemplate(file.read_text(encoding="utf-8"), tokens)
    found = settings.get("chat_template")
    if isinstance(found, str):
        return ChatTemplate(found, tokens)
    if isinstance(found, list):
        named = {str(entry["name"]): str(entry["template"]) for entry in found}
        if "default" in named:
            return ChatTemplate(named["default"], tokens, named.get("tool_use"))
    return None


def _token_text(value: Any) -> str | None:
    return value.get("content") if isinstance(value, dict) else value


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
