"""What a spent budget does: no queue starts another job."""

from __future__ import annotations

from ..errors import GenAIStackError
from .published import read

QUEUES = ("spot-queue", "multi-node-queue")


def close_queues(stage: str) -> None:
    """Disables the stage's job queues: what runs goes on, what waits keeps waiting, and no machine is started for it.
    Whoever wants to spend more opens them again. Raises GenAIStackError when the account can't be asked."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    batch = boto3.client("batch")
    for what in QUEUES:
        queue = read(stage, "training", what)
        try:
            batch.update_job_queue(jobQueue=queue, state="DISABLED")
        except (BotoCoreError, ClientError) as error:
            raise GenAIStackError(f"can't close {queue}: {error}; disable it in the Batch console") from error
