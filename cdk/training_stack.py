"""The bottom layer: machines with GPUs that come for a job and go after it."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_s3_assets as assets
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from genai_stack import names
from genai_stack.config import TrainingConfig

from .constructs.alarms import Alarms
from .constructs.budget import Budget
from .constructs.bundles import bundle_program
from .constructs.dashboard import dashboard
from .constructs.events import JobEvents
from .constructs.fleet import multi_node_fleet, spot_fleet
from .constructs.images import training_image
from .constructs.jobs import Jobs
from .constructs.managed import managed_training
from .constructs.network import Network
from .constructs.roles import JobRoles
from .constructs.storage import Storage


class TrainingStack(cdk.Stack):
    """Composes the layer and publishes what it made under `/genai-stack/<stage>/training`. `staging` is a folder that
    outlives synthesis, where assets are put together."""

    def __init__(self, scope: Construct, stage: str, config: TrainingConfig, staging: Path) -> None:
        super().__init__(
            scope,
            names.cloudformation_stack("training"),
            stack_name=names.deployed_stack(stage, "training"),
            description=f"genai-stack {stage}: training, evaluation and batch inference on AWS Batch",
            tags={names.STAGE_TAG: stage},
        )
        bundle_program(staging / "program")
        program = assets.Asset(self, "Program", path=str(staging / "program"))
        image = training_image(self, config.image)
        self.storage = storage = Storage(self, "Storage", config, stage)
        self.network = network = Network(self, "Network", config.network, logs=storage.logs)
        private = config.network.egress != "public"
        roles = JobRoles(self, "Roles", storage, image, program, stage, private=private)
        spot = spot_fleet(self, "Spot", stage, config, network, roles)
        many = multi_node_fleet(self, "MultiNode", stage, config, network, roles)
        fleets = [spot, many]
        queues = [fleet.queue for fleet in fleets]
        jobs = Jobs(
            self, "Jobs", stage=stage, config=config, image=image, program=program, storage=storage, roles=roles
        )
        events = JobEvents(
            self,
            "Events",
            queues=queues,
            managed=roles.managed,
            stage=stage,
            config=config,
            storage=storage,
            staging=staging,
        )
        self.events = events.function.role
        alarms = Alarms(self, "Alarms", config=config, storage=storage)
        self.alarms = alarms.topic
        alarms.job_failed(stage, events.log)
        alarms.blocked(queues)
        functions = {"EventUnhandled": events.function}
        if config.budget.monthly_usd:
            budget = Budget(
                self,
                "Budget",
                fleets=fleets,
                stage=stage,
                config=config,
                storage=storage,
                alarms=alarms.topic,
                staging=staging,
            )
            functions["BudgetUnhandled"] = budget.function
        alarms.unhandled(functions)
        dashboard(self, "Dashboard", stage, events.log, [fleet.name for fleet in fleets])
        published = {
            "artefact-bucket": storage.artefacts.bucket_name,
            "records-table": storage.records.table_name,
            "vector-bucket": storage.vectors.attr_vector_bucket_arn,
            "spot-queue": spot.queue.attr_job_queue_arn,
            "multi-node-queue": many.queue.attr_job_queue_arn,
            "spot-environment": spot.environment.attr_compute_environment_arn,
            "multi-node-environment": many.environment.attr_compute_environment_arn,
            "train-definition": jobs.train.ref,
            "train-multi-node-definition": jobs.train_multi_node.ref,
            "evaluate-definition": jobs.evaluate.ref,
            "batch-definition": jobs.batch.ref,
            "log-group": storage.job_log.log_group_name,
            "alarm-topic": alarms.topic.topic_arn,
            "sagemaker": managed_training(self, stage, config, image, program, network, roles),
        }
        for what, value in published.items():
            ssm.CfnParameter(
                self,
                f"Published-{what}",
                type="String",
                name=names.parameter(stage, "training", what),
                value=value,
            )
            cdk.CfnOutput(self, f"Output-{what}", value=value)
        self._export()

    def _export(self) -> None:
        """What the stacks above import, whether a model is hosted or not: an export that goes while another stack
        still imports it stops the deployment that would end the import."""
        network, storage = self.network, self.storage
        subnets = [*network.vpc.private_subnets, *network.vpc.isolated_subnets]
        values = [network.vpc.vpc_id, *(subnet.subnet_id for subnet in subnets), self.alarms.topic_arn]
        values += [storage.artefacts.bucket_arn, storage.artefacts.bucket_name, storage.key.key_arn]
        values += [self.events.role_name, storage.records.table_arn, storage.vectors.attr_vector_bucket_arn]
        for value in values:
            self.export_value(value)
