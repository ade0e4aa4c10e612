"""A question of a conversation, answered from sources: made to stand alone, and then answered as any other."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from ..protocol.tasks import AssistantRequest
from ..task_prompts import Prompt, filled
from .answer import Answered, answer
from .model import Model, Tell
from .remembering import Memory
from .sources import Search
from .standing import standing


class Assisted(NamedTuple):
    """`question` is what was asked of the sources."""

    question: str
    made: Answered


async def assist(
    model: Model,
    prompt: Prompt,
    answering: Prompt,
    request: AssistantRequest,
    memory: Memory,
    tell: Tell | None,
    search: Search | None,
) -> Assisted:
    """`answering` is the prompt of `answer`. What system and developer said in the conversation stands before the
    request's instructions, and both behind the prompt's own system turn."""
    alone = await standing(model, prompt, request.question, memory.turns)
    told = "\n\n".join(text for text in (memory.told, request.instructions) if text)
    if told:
        system = filled(prompt.phrases["instructed"], {"system": answering.system}).strip()
        answering = msgspec.structs.replace(answering, system=system)
    made = await answer(
        model,
        answering,
        msgspec.structs.replace(request, question=alone.question),
        tell,
        search,
        query=alone.query,
        more={"instructions": told},
        beside={"conversation": memory.told, "instructions": request.instructions or ""},
    )
    return Assisted(alone.question, made)
