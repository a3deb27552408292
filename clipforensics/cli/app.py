"""The command line's one door: finds the command, and turns every complaint into one line.

Exit codes: 0 done, 1 `verify` found a difference or a run failed, 2 the user's mistake.
"""

import errno
import os
import sys
from collections.abc import Sequence

import typer
from typer.exceptions import Abort, Exit, TyperException

from clipforensics.cli import bench, calibrate, cases, invert, pairs, repair, score, triggers
from clipforensics.cli.output import printable
from clipforensics.errors import ForensicsError

STOPPED = 130
FULL = (errno.ENOSPC, errno.EDQUOT)
app = typer.Typer(
    name="clipforensics",
    help="Backdoor forensics of CLIP models: find, show and repair.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (cases, pairs, score, calibrate, triggers, invert, repair, bench):
    module.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is ever downloaded
    code = _run(arguments)
    if code == STOPPED:  # typer answers Ctrl-C with this code and says nothing
        sys.stderr.write("Stopped. What was finished is kept.\n")
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        code = app(
            args=None if arguments is None else list(arguments),
            prog_name="clipforensics",
            standalone_mode=False,
        )
        return int(code or 0)  # the code of an Exit, too
    except (ForensicsError, TyperException) as problem:
        return _complain(_text(problem))
    except Exit as end:
        return end.exit_code
    except (Abort, KeyboardInterrupt):
        return STOPPED
    except BrokenPipeError:
        # the reader of our output went away; nothing is wrong, and nobody listens
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as problem:
        if problem.errno in FULL:
            place = f"The disk of {problem.filename}" if problem.filename else "The disk"
            return _complain(
                f"{place} is full. Make room and start again; what was finished is kept."
            )
        return _complain(
            f"{problem.filename or 'A file'}: {problem.strerror}. Check it and start again."
        )


def _text(problem: Exception) -> str:
    text = problem.format_message() if isinstance(problem, TyperException) else str(problem)
    return " ".join(text.split())


def _complain(text: str) -> int:
    sys.stderr.write(printable(text) + "\n")
    return 2
