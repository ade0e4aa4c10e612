"""AWS's containers, for training and for hosting: which one serves a task, what CUDA it brings, and the machine image
that CUDA needs.

The images and their CUDA are those of the changelogs of AWS's Deep Learning Containers (aws/deep-learning-containers,
docs/vllm and docs/vllm-omni): vLLM 2.5 of 2026-09-23, vLLM-Omni 1.5 of 2026-08-03. The machine images are the values
of SageMaker's `ProductionVariant.InferenceAmiVersion`, as botocore's service model documents them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .hosted import Task

Cuda = tuple[int, int]


class Container(NamedTuple):
    """An image in AWS's registry of the region: `<registry>/<repository>:<tag>`."""

    repository: str
    tag: str
    cuda: Cuda


TEXT = Container("vllm", "server-sagemaker-cuda-v2.5", (13, 0))
"""vLLM behind SageMaker's contract; `CustomAttributes: route=…` names the route, `SM_VLLM_<NAME>` an option of it."""
MEDIA = Container("vllm", "omni-sagemaker-cuda-v1.5", (13, 0))
"""vLLM-Omni, with the same contract."""
PROCESSORS = Container("huggingface-pytorch-inference", "2.6.0-transformers5.5.3-cpu-py312-ubuntu22.04", (0, 0))
"""Python 3.12 with NumPy, tokenizers and Jinja2, and no CUDA. Its server calls `model_fn` and `transform_fn` of
`code/inference.py` in the model's archive (aws/sagemaker-huggingface-inference-toolkit 2.6,
handler_service.py)."""
TRAINING = Container("huggingface-pytorch-training", "2.11-transformers5.13-cu130-amzn2023-sagemaker", (13, 0))
"""PyTorch 2.11, CUDA 13.0, Python 3.12 on Amazon Linux 2023."""
CONTAINERS: dict[Task, Container] = {
    "chat": TEXT,
    "embedding": TEXT,
    "rerank": TEXT,
    "moderation": TEXT,
    "transcription": TEXT,
    "image": MEDIA,
    "speech": MEDIA,
    "music": MEDIA,
    "video": MEDIA,
}

AMIS: dict[str, Cuda] = {
    "al2-ami-sagemaker-inference-gpu-2": (12, 2),
    "al2-ami-sagemaker-inference-gpu-2-1": (12, 2),
    "al2-ami-sagemaker-inference-gpu-3-1": (12, 4),
    "al2023-ami-sagemaker-inference-gpu-4-1": (13, 0),
}
"""Each machine image and the CUDA its driver speaks."""
NEWEST_AMI = max(AMIS, key=lambda name: AMIS[name])
"""A driver runs every older CUDA, so this one suits whatever image there is."""

_CUDA_IN_TAG = re.compile(r"(?:^|[-_.:])cu(\d\d)(\d)(?=$|[-_.])")


def cuda_of(image: str) -> Cuda | None:
    """The CUDA an image says it has by its tag (`…-cu129-…`); None where it doesn't say."""
    found = _CUDA_IN_TAG.search(image)
    return (int(found[1]), int(found[2])) if found else None


def runs(ami: str, cuda: Cuda) -> bool:
    """Whether the driver of a machine image runs an image's CUDA. Within one major version any driver does."""
    return AMIS[ami][0] >= cuda[0]
