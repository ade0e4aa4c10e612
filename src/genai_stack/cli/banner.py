"""What `up` says once it is ready: where, with which key, and two examples to paste."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..config import StackConfig


def show_banner(url: str, key: str, config: StackConfig, home: Path) -> None:
    """On a terminal in a frame, elsewhere as plain text."""
    model = config.default_model
    facts = [
        ("base URL", url),
        ("key", key),
        ("home", str(home)),
        ("models", ", ".join(m.name for m in config.local_models)),
    ]
    if hosted := (*config.hosted_models, *config.serverless_models):
        facts.append(("not here", f"{', '.join(m.name for m in hosted)} (hosted in an account)"))
    examples = [curl(url, key, model), python(url, key, model)] if model else []
    if not sys.stdout.isatty():
        click.echo(f"{config.name} is ready")
        for name, value in facts:
            click.echo(f"{name + ':':<10}{value}")
        for example in examples:
            click.echo(f"\n{example}")
        click.echo("\nCtrl-C ends it.")
        return
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in facts:
        table.add_row(Text(name, style="dim"), Text(value, overflow="fold"))
    console = Console(highlight=False)
    console.print(
        Panel(Group(table), title=f"{config.name} is ready", title_align="left", border_style="green")
    )
    for example in examples:  # outside the frame, so that they paste as they are
        console.print(Text(example), "\n", soft_wrap=True)
    console.print("Ctrl-C ends it.", style="dim")


def curl(url: str, key: str, model: str) -> str:
    return (
        f"curl {url}/chat/completions \\\n"
        f"  -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\\n"
        f'  -d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello!"}}]}}\''
    )


def python(url: str, key: str, model: str) -> str:
    return (
        "from openai import OpenAI\n"
        f'client = OpenAI(base_url="{url}", api_key="{key}")\n'
        'messages = [{"role": "user", "content": "Hello!"}]\n'
        f'answer = client.chat.completions.create(model="{model}", messages=messages)\n'
        "print(answer.choices[0].message.content)"
    )
