"""/v1/tasks/assistant: `answer` with a memory, which is a conversation of /v1/conversations."""

from __future__ import annotations

import asyncio

from ..protocol.items import FileCitation, InputText, Item, MessageItem, OutputText
from ..protocol.task_replies import Assistance
from ..protocol.tasks import AssistantRequest
from ..tasks.model import Model, Tell
from ..tasks.remembering import remembered
from ..tasks.run import ASSISTANT, run_assistant
from ..tasks.sources import Search
from ..tasks.standing import TURNS
from .exchange import Handler
from .principal import Principal
from .resources import ids
from .responses.conversations import Conversations
from .responses.overflow import Allowance
from .tasks import Ready, Tools, performed

ROUTE = ASSISTANT


def assisted(tools: Tools, conversations: Conversations) -> Handler:
    prompt, answering = (tools.config.tasks.prompt(task) for task in ("assistant", "answer"))
    unstated = answering.phrase("unstated")

    async def prepare(request: AssistantRequest, who: Principal, key: bytes | None) -> Ready:
        tenant, into = who.tenant, request.conversation
        items: list[Item] = []
        claim = None
        if request.store is not False:
            asked = f"assistant {request}"
            claim, items = await asyncio.to_thread(conversations.opened, tenant, into, key, asked)
        elif into is not None:
            items = await asyncio.to_thread(conversations.items, tenant, into, Allowance("conversation"))
        memory = remembered(items, TURNS)
        named = into or (claim.id if claim else None)

        async def run(model: Model, id: str, tell: Tell | None, search: Search | None) -> Assistance:
            reply = await run_assistant(
                model, prompt, answering, request, memory, id=id, conversation=named, tell=tell, search=search
            )
            if claim is not None:
                turn = _turn(request.question, reply, unstated)
                await asyncio.to_thread(conversations.told, tenant, into, key, claim, turn)
            return reply

        return Ready(run, memory.size)

    return performed("assistant", ROUTE, AssistantRequest, prepare, tools)


def _turn(question: str, reply: Assistance, unstated: str) -> list[Item]:
    """Question and answer as a conversation has them, the files that are cited behind the answer."""
    text = unstated if reply.answer is None else reply.answer
    files = {cited.file_id: cited.filename or "" for cited in reply.citations if cited.file_id}
    cited = [FileCitation(file, name, len(text)) for file, name in files.items()]
    return [
        MessageItem(ids.new("msg_"), "user", [InputText(question)]),
        MessageItem(ids.new("msg_"), "assistant", [OutputText(text, cited)]),
    ]
