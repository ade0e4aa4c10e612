"""`genai-stack completion`: the shell's own script for completing this program's words."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL.

    For bash: genai-stack completion bash > ~/.local/share/bash-completion/completions/genai-stack
    """
    from click.shell_completion import get_completion_class

    from .root import root

    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"click knows no completion for {shell}")
    click.echo(found(root, {}, "genai-stack", "_GENAI_STACK_COMPLETE").source())
