"""The job definitions: which program runs on which machine, and what happens when it ends.

Every kind runs in the same image, which brings the trainers, and vLLM for batches.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_batch as batch
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from genai_stack.config import TrainingConfig
from genai_stack.machines import MACHINES, Machine

from .images import Image, python_command
from .roles import JobRoles
from .storage import Storage

MEMORY_SHARE = 0.92
"""Of a machine's memory: the rest is the kernel's and the agent's, and a job that asks for all of it never starts."""
SHARED_MEMORY_SHARE = 1 / 8
"""Of a machine's memory, for `/dev/shm`: NCCL and data loaders pass through it, and Docker's 64 MiB isn't enough."""
INTERRUPTED = "75"
"""The exit code of a program that wrote a checkpoint and asks to be run again."""
TERMINATED = "143"
"""That of a program which SIGTERM ended before it listened for it: while it was fetched, or imported its engines."""
RETRIES = (
    {"onStatusReason": "Host EC2*", "action": "RETRY"},
    {"onReason": "CannotPullContainer*", "action": "RETRY"},
    {"onExitCode": INTERRUPTED, "action": "RETRY"},
    {"onExitCode": TERMINATED, "action": "RETRY"},
    # Batch retries what matches nothing.
    {"onReason": "*", "action": "EXIT"},
)


def told(config: TrainingConfig) -> dict[str, str]:
    """What the configuration says to the program by its environment."""
    return {"MLFLOW_TRACKING_URI": config.mlflow} if config.mlflow else {}


class Jobs(Construct):
    """`train`, `train_multi_node`, `evaluate` and `batch`. The job passes its spec's URI as the parameter `spec`."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: str,
        config: TrainingConfig,
        image: Image,
        program: assets.Asset,
        storage: Storage,
        roles: JobRoles,
    ) -> None:
        super().__init__(scope, id)
        self._config, self._stage, self._image, self._program = config, stage, image, program
        self._storage, self._roles = storage, roles
        self.train = self._definition("Train", "all,train", "genai_stack.training.launch")
        self.train_multi_node = self._multi_node()
        self.evaluate = self._definition("Evaluate", "all,evaluate", "genai_stack.bulk.evaluate")
        self.batch = self._definition("Batch", "all", "genai_stack.bulk.batch")

    def _definition(self, id: str, packages: str, module: str) -> batch.CfnJobDefinition:
        machine = MACHINES[self._config.spot.instances[0]]
        container = self._container(id.lower(), machine, packages, module)
        return batch.CfnJobDefinition(
            self,
            id,
            type="container",
            platform_capabilities=["EC2"],
            container_properties=container,
            **self._endings(),
        )

    def _multi_node(self) -> batch.CfnJobDefinition:
        """One container takes each node whole. Node 0 is the main one: its end is the job's."""
        many = self._config.multi_node
        machine = MACHINES[many.instance]
        container = self._container("multi-node", machine, "all,train", "genai_stack.training.launch")
        container["linuxParameters"]["devices"] = [
            {"hostPath": path, "containerPath": path, "permissions": ["READ", "WRITE", "MKNOD"]}
            for path in (f"/dev/infiniband/uverbs{adapter}" for adapter in range(machine.efas))
        ]
        # ECS gives the job's network an interface for its own use beside the one that nodes share.
        container["environment"] += [
            {"name": "FI_PROVIDER", "value": "efa"},
            {"name": "NCCL_SOCKET_IFNAME", "value": "^lo,docker,ecs"},
        ]
        return batch.CfnJobDefinition(
            self,
            "TrainMultiNode",
            type="multinode",
            node_properties={
                "mainNode": 0,
                "numNodes": many.nodes,
                "nodeRangeProperties": [{"targetNodes": "0:", "container": container}],
            },
            **self._endings(),
        )

    def _endings(self) -> dict[str, Any]:
        return {
            "retry_strategy": {"attempts": self._config.attempts, "evaluateOnExit": list(RETRIES)},
            "timeout": {"attemptDurationSeconds": self._config.max_hours * 3600},
            "propagate_tags": True,
        }

    def _container(self, prefix: str, machine: Machine, packages: str, module: str) -> dict[str, Any]:
        script = (Path(__file__).parent / "boot.py").read_text()
        program = self._program.s3_object_url
        return {
            "image": self._image.uri,
            "command": python_command(self._image, script, program, packages, module, "Ref::spec"),
            "jobRoleArn": self._roles.job.role_arn,
            "executionRoleArn": self._roles.execution.role_arn,
            "privileged": False,
            "resourceRequirements": [
                {"type": "GPU", "value": str(machine.gpus)},
                {"type": "VCPU", "value": str(machine.vcpus)},
                {"type": "MEMORY", "value": str(int(machine.memory * MEMORY_SHARE))},
            ],
            "linuxParameters": {
                "sharedMemorySize": int(machine.memory * SHARED_MEMORY_SHARE),
                "initProcessEnabled": True,  # reaps what data loaders leave, and passes SIGTERM on
            },
            # An adapter pins the memory it transfers; a thread per GPU and loader needs files and stack.
            "ulimits": [
                {"name": "memlock", "softLimit": -1, "hardLimit": -1},
                {"name": "stack", "softLimit": 67108864, "hardLimit": 67108864},
                {"name": "nofile", "softLimit": 65536, "hardLimit": 65536},
            ],
            "environment": [
                {"name": "AWS_DEFAULT_REGION", "value": cdk.Aws.REGION},  # a container isn't told
                {"name": "GENAI_STACK_STAGE", "value": self._stage},
                {"name": "PYTHONUNBUFFERED", "value": "1"},
                *({"name": name, "value": value} for name, value in told(self._config).items()),
            ],
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": self._storage.job_log.log_group_name,
                    "awslogs-region": cdk.Aws.REGION,
                    "awslogs-stream-prefix": prefix,
                },
            },
        }
