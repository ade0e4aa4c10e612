"""The tree of commands."""

from __future__ import annotations

import click

from .. import __version__
from .adapt import adapt
from .anatomy import anatomy
from .assistant import assistant
from .batch import batch
from .chat import chat
from .completion import completion
from .cost import cost
from .destroy import destroy
from .doctor import doctor
from .evaluate import evaluate
from .jobs import jobs
from .keys import keys
from .models import models
from .quickstart import quickstart
from .serve import serve
from .tasks import answer, classify, extract, rewrite, summarize, translate
from .train import train
from .up import up
from .usage import usage


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(prog)s %(version)s")
def root() -> None:
    """Own a generative-AI stack: train, host and serve open models on this machine.

    `genai-stack up` serves an OpenAI-compatible API; the other verbs work on the same home directory, whether it is
    up or not. GENAI_STACK_HOME, GENAI_STACK_API_KEY and GENAI_STACK_BASE_URL are honoured by all of them.
    """


for command in (
    up,
    train,
    evaluate,
    adapt,
    batch,
    chat,
    summarize,
    answer,
    assistant,
    classify,
    translate,
    extract,
    rewrite,
    anatomy,
    models,
    keys,
    usage,
    jobs,
    doctor,
    cost,
    destroy,
    serve,
    quickstart,
    completion,
):
    root.add_command(command)
