"""One repair by the several processes that `torchrun` started: they train, the first of them writes."""

import shlex
import sys
from pathlib import Path
from typing import Any

from clipforensics.config.repair import RepairSettings
from clipforensics.errors import RunError
from clipforensics.jobs.repairing import repair
from clipforensics.jobs.runs import launcher, runner
from clipforensics.jobs.runs.context import RunContext
from clipforensics.jobs.runs.run_folder import Run


class Silent(RunContext):
    """The context of a process that only helps: it says nothing, and what it
    writes down, each process writes alike and all at once."""

    def __init__(self, run: Run) -> None:
        # not RunContext's own, which would stamp this process into the status
        self.run, self.case_dir, self.config, self.stop_seen = run, run.case_dir, run.config, False
        self.earlier = 0.0

    def progress(self, step: int, total: int, message: str, **figures: Any) -> None:
        """Nothing."""

    def busy(self, message: str) -> None:
        """Nothing."""

    def journal(self, record: Any) -> None:
        """Nothing."""

    def should_stop(self) -> bool:
        """Never by itself: the loop asks the first process."""
        return False


def repair_together(case_dir: Path, settings: RepairSettings) -> Run | None:
    """Repair in the processes that are there already, instead of in a detached one.

    A run like any other comes of it: the pages show it, and its STOP file ends it.

    Args:
        case_dir: the case.
        settings: each process takes the CUDA device of its local rank, else the CPU. The first
            waits for all of its machine's, the others for the first; devices of other machines
            have no lock.

    Returns:
        The finished run in the first process, None in the others.

    Raises:
        RunError: the run ended otherwise; `torchrun` then ends the other processes.
        ForensicsError: as `repair.run`, in a process that only helps.
    """
    from clipforensics.train.distributed import agreed, devices_here, joined, same_text, world

    with joined(settings.device) as own:
        first = world().rank == 0
        config = settings.model_dump(mode="json")
        command = shlex.join(["torchrun", "-m", "clipforensics", *sys.argv[1:]])
        folder = launcher.claim(case_dir, "repair", config, command).dir if first else None
        run = Run.open(Path(same_text(str(folder) if folder else "")))
        context = RunContext(run) if first else Silent(run)
        context.config = {**run.config, "device": own}
        if not first:
            agreed(True)  # waits until the first process holds the devices
            repair.run(context)
            return None
        end = runner.play(context, devices_here(own), lambda: agreed(True))
    if end["state"] != "succeeded":
        raise RunError(f"The repair {end['state']}: {end['message']} See {run.dir}.")
    return run
