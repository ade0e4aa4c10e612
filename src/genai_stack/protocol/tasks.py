"""`POST /v1/tasks/…`: what may be asked of ready-made tasks. Each takes a text and gives a typed answer.

`model` is a chat model; unset it is the one that stack.toml names for the task, else the first chat model. `examples`
show the model what is wanted. `temperature` is 0 unless set. `max_tokens` bounds each piece that the model writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from ..errors import RequestError
from .files import FileId
from .filters import Filter
from .filters import check as check_filter
from .languages import LANGUAGES
from .requests import ModelName, Seed, Temperature, TokenCount

Text = Annotated[str, Meta(min_length=1)]
Short = Annotated[str, Meta(min_length=1, max_length=256)]
Code = Annotated[
    str, Meta(min_length=2, max_length=16, description="ISO 639-1, such as fr; or pt-BR, zh-Hant …")
]
EXAMPLES = Meta(max_length=32)
QUESTION = 4096
"""Characters of a question, at most."""
Length = Literal["short", "medium", "long"]
Tone = Literal["formal", "friendly", "simple", "concise", "neutral", "persuasive"]


class TaskRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every task takes."""

    model: ModelName | None = None
    temperature: Temperature | None = None
    seed: Seed | None = None
    max_tokens: TokenCount | None = None


class TextExample(Struct, frozen=True, forbid_unknown_fields=True):
    """A text, and what became of it."""

    text: Text
    output: Text


class SummarizeRequest(TaskRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/tasks/summarize. `length` is one sentence (short, unless told), a paragraph, or several."""

    text: Text
    length: Length | None = None
    style: Literal["prose", "bullets"] | None = None
    examples: Annotated[list[TextExample], EXAMPLES] | None = None
    stream: bool | None = None


class TranslateRequest(TaskRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/tasks/translate, to the language `target`; unset, `source` is for the model to see."""

    text: Text
    target: Code
    source: Code | None = None
    examples: Annotated[list[TextExample], EXAMPLES] | None = None
    stream: bool | None = None


class RewriteRequest(TaskRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/tasks/rewrite, in a `tone` or by an `instruction`."""

    text: Text
    tone: Tone | None = None
    instruction: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    examples: Annotated[list[TextExample], EXAMPLES] | None = None
    stream: bool | None = None


class Label(Struct, frozen=True, forbid_unknown_fields=True):
    name: Short
    description: Annotated[str, Meta(max_length=1024)] | None = None


class LabelExample(Struct, frozen=True, forbid_unknown_fields=True):
    """`output` is a label, or several with `multi_label`."""

    text: Text
    output: str | list[str]


class ClassifyRequest(TaskRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/tasks/classify: one of the labels, or with `multi_label` any number of them."""

    text: Text
    labels: Annotated[list[Short | Label], Meta(min_length=1, max_length=128)]
    multi_label: bool | None = None
    examples: Annotated[list[LabelExample], EXAMPLES] | None = None
    stream: None = None

    @property
    def named(self) -> list[Label]:
        return [Label(label) if isinstance(label, str) else label for label in self.labels]


class DataExample(Struct, frozen=True, forbid_unknown_fields=True):
    text: Text
    output: Any


class ExtractRequest(TaskRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/tasks/extract: data that fits the JSON Schema `schema`. A keyword that can't be enforced while the model
    writes is refused by name."""

    text: Text
    schema: dict[str, Any]
    examples: Annotated[list[DataExample], EXAMPLES] | None = None
    stream: None = None


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """`id` is the caller's own, and comes back in citations."""

    text: Text
    id: Short | None = None


class AnswerExample(Struct, frozen=True, forbid_unknown_fields=True):
    """`output` null shows a question that the passage doesn't answer."""

    passage: Text
    question: Text
    output: Text | None


class AnswerRequest(TaskRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/tasks/answer: from `passages`, `documents` or the vector store `vector_store_id`, one of them. `filters`
    and `max_num_results` (10) go with a vector store."""

    question: Annotated[str, Meta(min_length=1, max_length=QUESTION)]
    passages: Annotated[list[Text], Meta(min_length=1, max_length=256)] | None = None
    documents: Annotated[list[Document], Meta(min_length=1, max_length=256)] | None = None
    vector_store_id: FileId | None = None
    filters: Filter | None = None
    max_num_results: Annotated[int, Meta(ge=1, le=50)] | None = None
    examples: Annotated[list[AnswerExample], EXAMPLES] | None = None
    stream: bool | None = None


class AssistantRequest(AnswerRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/tasks/assistant: as `answer`, in a conversation. `conversation` is the id of one of /v1/conversations,
    whose turns are remembered and which gets this one; without it a new one is made. With `store` false nothing is
    kept. `instructions` say how to answer."""

    conversation: (
        Annotated[str, Meta(min_length=1, max_length=128, description="A conversation's id")] | None
    ) = None
    instructions: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    store: bool | None = None


def check_summarize(request: SummarizeRequest) -> None:
    _check_text("text", request.text)
    _check_text_examples(request.examples)


def check_translate(request: TranslateRequest) -> None:
    _check_text("text", request.text)
    for name in ("target", "source"):
        code = getattr(request, name)
        if code is not None and code not in LANGUAGES:
            raise invalid(name, f"{code!r} is no known language code; send one such as fr, de or pt-BR")
    if request.source == request.target:
        raise invalid("source", "is the language to translate to as well; name another, or leave it out")
    _check_text_examples(request.examples)


def check_rewrite(request: RewriteRequest) -> None:
    _check_text("text", request.text)
    if request.tone is None and request.instruction is None:
        raise invalid("instruction", "or `tone` must come; say how to rewrite the text")
    if request.instruction is not None:
        _check_text("instruction", request.instruction)
    _check_text_examples(request.examples)


def check_classify(request: ClassifyRequest) -> None:
    _check_text("text", request.text)
    seen: dict[str, int] = {}
    for index, label in enumerate(request.named):
        _check_text(f"labels[{index}]", label.name)
        first = seen.setdefault(label.name.strip().casefold(), index)
        if first != index:
            raise invalid(f"labels[{index}]", f"repeats labels[{first}] ({label.name!r}); name each label once")
    if len(seen) < 2 and not request.multi_label:
        raise invalid("labels", "has one label only; send at least two, or `multi_label: true`")
    names = {label.name for label in request.named}
    for index, example in enumerate(request.examples or ()):
        where = f"examples[{index}]"
        _check_text(f"{where}.text", example.text)
        several = isinstance(example.output, list)
        if several and not request.multi_label:
            raise invalid(f"{where}.output", "is a list, which goes with `multi_label: true`; send one label")
        told = example.output if isinstance(example.output, list) else [example.output]
        if unknown := next((name for name in told if name not in names), None):
            raise invalid(
                f"{where}.output", f"{unknown[:80]!r} isn't among `labels`; add it there, or correct it"
            )
    _refuse_contradictions(
        [
            (e.text, sorted(e.output) if isinstance(e.output, list) else [e.output])
            for e in request.examples or ()
        ]
    )


def check_extract(request: ExtractRequest) -> None:
    from .rules import check_schema

    _check_text("text", request.text)
    check_schema(request.schema, "schema")
    for index, example in enumerate(request.examples or ()):
        _check_text(f"examples[{index}].text", example.text)
    _refuse_contradictions([(e.text, e.output) for e in request.examples or ()])


def check_answer(request: AnswerRequest) -> None:
    _check_text("question", request.question)
    given = [
        name for name in ("passages", "documents", "vector_store_id") if getattr(request, name) is not None
    ]
    if len(given) != 1:
        what = "comes beside `" + given[0] + "`" if given else "is missing, and so are the other two"
        raise invalid(
            given[1] if given else "passages",
            f"{what}; send one of `passages`, `documents` and `vector_store_id`",
        )
    for index, passage in enumerate(request.passages or ()):
        _check_text(f"passages[{index}]", passage)
    seen: set[str] = set()
    for index, document in enumerate(request.documents or ()):
        _check_text(f"documents[{index}].text", document.text)
        if document.id is not None and document.id in seen:
            raise invalid(f"documents[{index}].id", "is another document's too; give each its own")
        seen.add(document.id or "")
    for name in ("filters", "max_num_results"):
        if getattr(request, name) is not None and request.vector_store_id is None:
            raise invalid(name, "goes with `vector_store_id` only; leave it out")
    if request.filters is not None:
        check_filter(request.filters)
    for index, example in enumerate(request.examples or ()):
        for name in ("passage", "question", "output"):
            if (told := getattr(example, name)) is not None:
                _check_text(f"examples[{index}].{name}", told)
    _refuse_contradictions([(f"{e.passage}\0{e.question}", e.output) for e in request.examples or ()])


def check_assistant(request: AssistantRequest) -> None:
    check_answer(request)
    if request.instructions is not None:
        _check_text("instructions", request.instructions)


def invalid(param: str, what: str) -> RequestError:
    return RequestError(f"'{param}' {what}.", param=param, code="invalid_value")


def _check_text(param: str, text: str) -> None:
    if not text.strip():
        raise invalid(param, "is blank; send some text")


def _check_text_examples(examples: list[TextExample] | None) -> None:
    for index, example in enumerate(examples or ()):
        _check_text(f"examples[{index}].text", example.text)
        _check_text(f"examples[{index}].output", example.output)
    _refuse_contradictions([(e.text, e.output) for e in examples or ()])


def _refuse_contradictions(pairs: Sequence[tuple[str, Any]]) -> None:
    seen: dict[str, tuple[int, Any]] = {}
    for index, (given, output) in enumerate(pairs):
        first, before = seen.setdefault(given.strip(), (index, output))
        if before != output:
            raise RequestError(
                f"'examples[{index}]' contradicts examples[{first}]: the same input with another output; keep one.",
                param=f"examples[{index}]",
                code="contradictory_examples",
            )
