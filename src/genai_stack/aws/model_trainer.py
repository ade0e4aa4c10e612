"""Starting a SageMaker training job, by the SDK's ModelTrainer. No other module loads `sagemaker`, which takes seconds.

The SDK puts the time behind a job's name and cuts at 63 characters, so a name of 63 stays what it is
(sagemaker.train.utils._get_unique_name); names.training_job makes such names.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from typing import Any

from genai_stack import names, settings
from genai_stack.errors import GenAIStackError
from genai_stack.managed import ManagedTraining

from . import session
from .faults import THROTTLES, code_of, refusal, unreachable
from .job_records import JobEntry

THERE = frozenset(("ResourceInUse", "ResourceInUseException"))
QUOTA = frozenset(("ResourceLimitExceeded", "ResourceLimitExceededException"))
QUIET = {
    "SchemaVersion": "1.0",
    "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
}
"""The SDK's settings in place of the files it would look for: a job is what the stage says, and told to nobody."""


class Refused(Exception):
    """SageMaker won't run the job, however often it is asked."""

    def __init__(self, why: GenAIStackError) -> None:
        super().__init__(why.message)
        self.why = why


def require() -> None:
    """Raises GenAIStackError, which says what to install, where the SDK isn't."""
    try:
        found = importlib.util.find_spec("sagemaker.train")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise GenAIStackError(
            "training on SageMaker needs its SDK; run: pip install 'genai-stack[sagemaker]', "
            "or leave out --on sagemaker for AWS Batch"
        )


def start(managed: ManagedTraining, bucket: str, entry: JobEntry) -> None:
    """Has SageMaker run the job, unless it does already. Raises Refused, and GenAIStackError where it may help to try
    again."""
    require()
    from botocore.exceptions import BotoCoreError, ClientError

    what = "SageMaker"
    made = trainer(managed, bucket, entry)
    try:
        made.train(wait=False, logs=False)
    except ClientError as error:
        code = code_of(error)
        if code in THERE:
            return
        why = refusal(error, "sagemaker", what, "training")
        if code in QUOTA:
            why = GenAIStackError(
                f"{why.message}; ask for more under Service Quotas, Amazon SageMaker, or take AWS Batch"
            )
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in THROTTLES or status >= 500:
            raise why from error
        raise Refused(why) from error
    except BotoCoreError as error:
        raise unreachable(f"can't reach {what}", error) from error
    finally:
        made.__del__()  # removes its folder of scripts, which an error's traceback would keep


def trainer(managed: ManagedTraining, bucket: str, entry: JobEntry) -> Any:
    """The ModelTrainer that starts the job, and none other, however often it is asked to.

    The program keeps its checkpoints under the job's output itself, and finds them there in whatever container it is
    started again. The checkpoint folder that SageMaker would copy to and fro stays empty: without one, a job
    on spot capacity may not wait longer than an hour."""
    for logger in ("sagemaker", "sagemaker.config", "sagemaker.core", "sagemaker.train"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    settings.trust_roles()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the SDK has to say about its own modules
        from sagemaker.core import shapes
        from sagemaker.core.helper.session_helper import Session
        from sagemaker.core.training import configs
        from sagemaker.train import ModelTrainer

    alone = entry.nodes == 1
    beside = f"{names.job_beside(entry.id)}/sagemaker"
    spec = f"s3://{bucket}/{names.job_spec(entry.id)}"
    program, *arguments = managed.command
    # What may hold spaces goes as arguments, which the SDK quotes. `exec` leaves no shell that would keep SIGTERM.
    source = configs.SourceCode(command=f"exec {program}", args=[*arguments, spec])
    group = managed.group if alone else managed.many_group
    inside = {"subnets": [*managed.subnets], "security_group_ids": [group]} if managed.subnets else None
    made = ModelTrainer(
        sagemaker_session=Session(boto_session=session.shared(), default_bucket=bucket, sagemaker_config=QUIET),
        base_job_name=names.training_job(bucket, entry.id),
        input_s3_key_prefix=beside,
        role=managed.role,
        training_image=managed.image,
        source_code=source,
        environment=dict(managed.environment),
        hyperparameters={"spec": spec},
        compute=configs.Compute(
            instance_type=managed.instance if alone else managed.many_instance,
            instance_count=entry.nodes,
            volume_size_in_gb=managed.disk_gb,
            enable_managed_spot_training=alone,
        ),
        stopping_condition=configs.StoppingCondition(
            max_runtime_in_seconds=managed.max_seconds,
            max_wait_time_in_seconds=managed.max_seconds + managed.wait_seconds if alone else None,
        ),
        networking=configs.Networking(**inside) if inside else None,
        checkpoint_config=shapes.CheckpointConfig(s3_uri=f"s3://{bucket}/{beside}/checkpoints"),
        output_data_config=configs.OutputDataConfig(
            s3_output_path=f"s3://{bucket}/{beside}", compression_type="NONE"
        ),
    )
    return made.with_retry_strategy(configs.RetryStrategy(maximum_retry_attempts=managed.attempts))
