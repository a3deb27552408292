"""bench: the benchmarks that back the figures in docs/RESULTS.md."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from clipforensics.cli.output import Json
from clipforensics.errors import ConfigError

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def register(app: typer.Typer) -> None:
    """Add the command."""
    # what a benchmark itself understands is passed on to it
    rest = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(context_settings=rest)(bench)


def bench(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A script in benchmarks/, or all.")],
    json: Json = False,
) -> None:
    """Run a benchmark in a process of its own; further options are the benchmark's."""
    known = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
    if name != "all" and name not in known:
        raise ConfigError(f"No benchmark is called {name!r}; there are {', '.join(known)}.")
    if name == "all" and context.args:
        raise ConfigError(
            f"{context.args[0]} is an option of one benchmark; `bench all` takes none. Name one of "
            f"{', '.join(known)}."
        )
    for one in known if name == "all" else [name]:
        command = [
            sys.executable,
            str(FOLDER / f"{one}.py"),
            *(["--json"] if json else []),
            *context.args,
        ]
        code = subprocess.run(command, check=False).returncode
        if code:
            raise typer.Exit(code)
