"""What a machine does before it takes its first job."""

from __future__ import annotations

import json

import aws_cdk as cdk

from genai_stack import names

_BOUNDARY = "==GENAI-STACK=="


def user_data(stage: str, fleet: str) -> str:
    """User data as Batch takes it: base64 of a MIME multipart document, which Batch merges with its own."""
    shell = _SETUP.replace("@AGENT@", json.dumps(_metrics(stage, fleet), sort_keys=True))
    document = (
        f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="{_BOUNDARY}"\n\n'
        f'--{_BOUNDARY}\nContent-Type: text/x-shellscript; charset="us-ascii"\n\n{shell}\n--{_BOUNDARY}--\n'
    )
    return cdk.Fn.base64(document)


# ECS: a spot notice drains the machine, which sends SIGTERM to its jobs; they have the time a notice gives, less some
# to spare (ranks under torch's elastic agent have 30 seconds of it). Nodes of multi-node jobs have no business with the
# machine's own credentials, and logs are written as the job's execution role.
# The metrics agent comes from Amazon Linux's repository, which the S3 gateway reaches. No job waits for it.
_SETUP = """#!/bin/bash
cat >> /etc/ecs/ecs.config <<'END'
ECS_ENABLE_SPOT_INSTANCE_DRAINING=true
ECS_CONTAINER_STOP_TIMEOUT=100s
ECS_AWSVPC_BLOCK_IMDS=true
ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE=true
END
modprobe efa || true
cat > /etc/genai-stack-metrics.json <<'END'
@AGENT@
END
(
  timeout 300 dnf install -y amazon-cloudwatch-agent &&
  /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 -s \\
    -c file:/etc/genai-stack-metrics.json
) > /var/log/genai-stack-metrics.log 2>&1 &
"""


def _metrics(stage: str, fleet: str) -> dict[str, object]:
    """The CloudWatch agent's configuration: what the GPUs do, each minute, by fleet."""
    gpu = {
        "measurement": ["utilization_gpu", "utilization_memory", "memory_used", "temperature_gpu"],
        "append_dimensions": {"fleet": fleet},
    }
    return {
        "agent": {"metrics_collection_interval": 60, "omit_hostname": True},
        "metrics": {
            "namespace": names.metrics(stage),
            "append_dimensions": {"InstanceId": "${aws:InstanceId}"},
            "aggregation_dimensions": [["fleet"]],
            "metrics_collected": {"nvidia_gpu": gpu},
        },
    }
