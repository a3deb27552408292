"""Runs of a repair, written as a worker would have written them."""

import json
import time
from types import SimpleNamespace

import pytest

from clipforensics.jobs.runs.run_folder import Status


def evaluation(step, ca, asr, **more):
    return {
        "t": time.time(), "kind": "evaluation", "step": step, "total": 150, "ca": ca, "asr": asr,
        "n_ca": 2000, "n_asr": 1950, "asr_of": "planted", **more,
    }  # fmt: skip


def play(run, lines, status, result=None):
    """Write what a worker would have written."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run.dir / "journal.jsonl").write_text(text)
    (run.dir / "stdout.log").write_text("training\n")
    (run.dir / "checkpoints" / "final.safetensors").write_bytes(b"weights")
    if result:
        (run.dir / "result.json").write_text(json.dumps(result))
    run.write_status(status)


DONE = [
    evaluation(0, 0.997, 0.96, baseline=True),
    {"t": 1.0, "kind": "loss", "step": 100, "total": 150, "loss": 1.25},
    evaluation(150, 0.995, 0.002),
]
RESULT = {
    "recipe": "eftclip", "preset": "quick", "ca_before": 0.997, "ca_after": 0.995,
    "asr_before": 0.96, "asr_after": 0.002, "asr_low_after": 0.0005, "asr_high_after": 0.005,
    "ca_low_after": 0.99, "ca_high_after": 0.998, "n": 1950, "n_ca": 2000, "n_asr": 1950,
    "asr_of": "planted", "working_attack": True, "stopped": False, "cost_in_plain_epochs": 3.2,
    "checkpoint_sha256": "ab" * 32, "seconds": 61.0,
}  # fmt: skip
FINISHED = Status("succeeded", step=150, total=150, started=1.0, finished=62.0)


@pytest.fixture
def played():
    """`play(run, lines, status, result)` ends a run; lines and result of one that went well."""
    return SimpleNamespace(
        evaluation=evaluation, play=play, DONE=DONE, RESULT=RESULT, FINISHED=FINISHED
    )
