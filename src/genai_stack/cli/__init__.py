"""The command line. Each module is one verb; what a verb needs is imported when it runs, so `--help` stays quick."""

from __future__ import annotations

import sys

from .run import run


def main() -> None:
    """The `genai-stack` program."""
    sys.exit(run())
