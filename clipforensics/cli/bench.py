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
    app.command()(bench)


def bench(
    name: Annotated[str, typer.Argument(help="A script in benchmarks/, or all.")],
    json: Json = False,
) -> None:
    """Run a benchmark in a process of its own."""
    known = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
    if name != "all" and name not in known:
        raise ConfigError(f"No benchmark is called {name!r}; there are {', '.join(known)}.")
    for one in known if name == "all" else [name]:
        command = [sys.executable, str(FOLDER / f"{one}.py"), *(["--json"] if json else [])]
        code = subprocess.run(command, check=False).returncode
        if code:
            raise typer.Exit(code)
