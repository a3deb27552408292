"""What each recipe does to the demo's planted backdoor, and what it costs in plain CLIP epochs.

EftCLIP heals the triggers that the hunt found itself; ASR is measured with the planted one, and
with the found one beside it. Every recipe runs through the command a reviewer would type.
"""

import json
import subprocess
import sys
from typing import Any

from _record import arguments, demo_case, publish

RECIPES = ("eftclip", "cleanclip", "finetune", "safeclip", "roclip", "filter")
SHOWN = (
    "ca_before", "ca_after", "asr_before", "asr_after", "asr_high_after", "r1_before", "r1_after", "cost_in_plain_epochs",
    "train_seconds", "seconds",
)  # fmt: skip


def main() -> None:
    """One run per recipe on the demo case, after a hunt."""
    asked = arguments(__doc__ or "", recipes=",".join(RECIPES))
    with demo_case(asked.case) as case:
        found = cli("triggers", str(case.dir))
        rows = []
        for recipe in asked.recipes.split(","):
            made = cli("repair", str(case.dir), "--recipe", recipe)
            rows.append({"recipe": recipe, "n": made["n"], "n_ca": made["n_ca"]} | figures(made))
        publish(
            "repair", rows, asked,
            triggers=len(found["triggers"]), affected=[one["label"] for one in found["affected_labels"]],
        )  # fmt: skip


def figures(made: dict[str, Any]) -> dict[str, Any]:
    """The shown figures, and ASR of the best found trigger after the repair."""
    found = made["triggers_after"].get("found 1", {})
    return {name: made.get(name) for name in SHOWN} | {"asr_found_after": found.get("asr")}


def cli(*words: str) -> dict[str, Any]:
    """What a command prints as JSON; its progress goes to stderr."""
    command = [sys.executable, "-m", "clipforensics", *words, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
