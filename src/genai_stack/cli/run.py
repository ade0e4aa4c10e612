"""Running the command tree, and what its outcome means to a shell.

Exit codes: 0 done; 1 it failed; 2 it couldn't start: wrong usage, an input file that can't be used, or a port or
home directory in use. An expected failure is one line on stderr, never a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from ..errors import AlreadyRunning, ConfigError, GenAIStackError, InvalidData, InvalidModel, InvalidSpec
from .root import root

PROGRAM = "genai-stack"
NEVER_STARTED = (AlreadyRunning, ConfigError, InvalidData, InvalidModel, InvalidSpec)


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line (this process's unless given) and returns its exit code."""
    try:
        code = root.main(arguments, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            error.show()
        else:
            _say(error.format_message())
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("stopped")
        return 1
    except GenAIStackError as error:
        _say(error.message)
        return 2 if isinstance(error, NEVER_STARTED) else 1
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        openai = sys.modules.get("openai")
        if openai is None or not isinstance(error, openai.OpenAIError):
            raise
        _say(_api_message(error))
        return 1


def _api_message(error: Exception) -> str:
    """The API's own words, rather than the client's wrapping of them."""
    body = getattr(error, "body", None)
    told = body.get("message") if isinstance(body, dict) else None
    return str(told or error)


def _say(message: str) -> None:
    click.echo(f"{PROGRAM}: {' '.join(message.split())}", err=True)
