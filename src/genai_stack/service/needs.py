"""Which model answers a route that needs one of a certain task, and what to add to stack.toml where there is none."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import NotFound, RequestError
from ..hosted import Task
from ..ports import ModelVersion
from .catalogue import Catalogue
from .principal import Principal


class Need(NamedTuple):
    """`does` is what a model of the task does. `entry` is the middle of an entry of stack.toml, one of those that the
    repository's own has."""

    does: str
    entry: str


NEEDS: dict[Task, Need] = {
    "embedding": Need("embeds texts", 'name = "all-minilm-l6-v2", source = "minilm", task = "embedding"'),
    "rerank": Need(
        "reranks documents",
        'name = "bge-reranker-v2-m3", source = "hf://BAAI/bge-reranker-v2-m3", task = "rerank", '
        'instance = "g6.xlarge", parameters = 0.57',
    ),
    "moderation": Need(
        "judges texts",
        'name = "qwen3guard", source = "hf://Qwen/Qwen3Guard-Gen-0.6B", task = "moderation", '
        'instance = "g6.xlarge"',
    ),
    "transcription": Need(
        "writes down speech",
        'name = "qwen3-asr", source = "hf://Qwen/Qwen3-ASR-1.7B", task = "transcription", instance = "g6.xlarge"',
    ),
    "image": Need(
        "draws pictures",
        'name = "flux2-klein", source = "hf://black-forest-labs/FLUX.2-klein-4B", task = "image", '
        'instance = "g6e.xlarge", parameters = 8.1',
    ),
    "speech": Need(
        "speaks",
        'name = "qwen3-tts", source = "hf://Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice", task = "speech", '
        'instance = "g6.xlarge", parameters = 2.1',
    ),
    "music": Need(
        "makes music",
        'name = "stable-audio", source = "s3://my-bucket/models/stable-audio-open-1.0", task = "music", '
        'instance = "g6.2xlarge", parameters = 1.4',
    ),
    "video": Need(
        "makes films",
        'name = "wan2.1", source = "hf://Wan-AI/Wan2.1-T2V-1.3B-Diffusers", task = "video", '
        'instance = "g6e.2xlarge", parameters = 7.2',
    ),
}


async def model_for(catalogue: Catalogue, who: Principal, name: str | None, *tasks: Task) -> ModelVersion:
    """The model of that name; without one, the first that the key may use for the first of `tasks` that any is for.
    Raises NotFound (where no model is for them, it has the entry to add), RequestError for a model of another task,
    Forbidden."""
    if name is not None:
        who.check_model(name)
    known = await catalogue.all()
    able = [version for task in tasks for version in known if version.task == task and version.base is None]
    if not able and not any(version.name == name for version in known):
        raise missing(tasks[0])
    if name is None:
        usable = [version for version in able if who.may_use(version.name)]
        if not usable:
            who.check_model(able[0].name)
        return usable[0]
    version = await catalogue.find(name)
    if version.task not in tasks:
        raise RequestError(
            f"'{version.name}' is for {version.task}, not {' or '.join(tasks)}; name another model "
            "(GET /v1/models lists them).",
            param="model",
            code="model_task_mismatch",
        )
    return version


def missing(task: Task) -> NotFound:
    need = NEEDS[task]
    where = "" if "instance" not in need.entry else " and deploy GenaiStack-Hosting"
    return NotFound(
        f"No model here {need.does}; add a [[model]] to stack.toml{where}, such as: {need.entry}",
        code=f"no_{task}_model",
        param="model",
    )
