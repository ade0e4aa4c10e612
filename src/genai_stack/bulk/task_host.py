"""A model host that answers the task routes: what the API does with a task's request, over the host of a batch."""

from __future__ import annotations

import msgspec

from ..errors import RequestError
from ..ports import ModelHost, Reply
from ..protocol import decode, problems
from ..protocol.refusals import ContainerRefusal, refusal
from ..task_prompts.overrides import TasksConfig
from ..tasks.model import Model
from ..tasks.run import KINDS, ROUTES, new_id, run


class TaskHost:
    def __init__(self, host: ModelHost, tasks: TasksConfig) -> None:
        self._host, self._tasks = host, tasks

    async def invoke(self, model: str, route: str, body: bytes, *, wait: float | None = None) -> Reply:
        """A refusal, of the task's or of the model's server, is a reply. Raises what the host raises."""
        task = ROUTES[route]
        try:
            request = decode(KINDS[task], body)
            asked = Model(self._host, model, refusal, request, wait=wait)
            reply = await run(asked, self._tasks.prompt(task), request, id=new_id())
        except (ContainerRefusal, RequestError) as error:
            return Reply(error.status, "application/json", problems.body(error))
        return Reply(200, "application/json", msgspec.json.encode(reply))

    async def deploy(self, model: str) -> None:
        await self._host.deploy(model)
