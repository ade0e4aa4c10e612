"""A command line as the guides have it, read by the program's own parser and not run."""

from __future__ import annotations

import shlex

import click

from genai_stack.cli.root import root


def parsed(line: str, *, files: bool = True) -> click.Context:
    """The context of the command that `line` names. Raises click.UsageError; without `files` none has to exist.

    Always below the root's: a command keeps the help options of whichever context it first sees.
    """
    above: click.Context | None = None
    name, verb, words = "genai-stack", root, shlex.split(line)[1:]
    while isinstance(verb, click.Group):
        above = click.Context(verb, info_name=name, parent=above, **verb.context_settings)
        name, verb, words = verb.resolve_command(above, words)
    with verb.make_context(name, words, parent=above, resilient_parsing=not files) as context:
        return context
