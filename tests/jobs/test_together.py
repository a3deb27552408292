"""The command `repair` under torchrun: two processes, one run, the weights of one process."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

import clipforensics
from clipforensics.jobs.repairing import repair
from clipforensics.jobs.runs import launcher
from clipforensics.jobs.runs.context import RunContext
from clipforensics.jobs.runs.run_folder import Run
from clipforensics.train.distributed import same_text

CHANGES = {"batch": 8, "pairs": 16, "steps": 3, "warmup_steps": 1, "evaluate_every": 2}


def torchrun(folder, *words):
    """`torchrun --nproc-per-node 2 -m clipforensics …` on the loopback device alone."""
    root = Path(clipforensics.__file__).resolve().parents[1]
    env = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    env |= {"PYTHONPATH": str(root), "CLIPFORENSICS_LOCKS": str(folder / "locks")}
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    command += ["-m", "clipforensics", *map(str, words), "--device", "cpu", "--json"]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)


def test_two_processes_are_one_run_with_the_weights_of_one_process(case, tmp_path):
    changes = [w for name, value in CHANGES.items() for w in ("--set", f"{name}={value}")]
    done = torchrun(tmp_path, "repair", case.dir, "--recipe", "finetune", *changes)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)  # one object: only the first process answers
    (run,) = launcher.runs(case.dir)
    assert run.status().state == "succeeded"
    assert (result["run"], result["steps"]) == (str(run.dir), 3)
    assert [r["step"] for r in run.journal()[0] if r["kind"] == "evaluation"] == [0, 2, 3]
    config = {"recipe": "finetune", "changes": CHANGES, "device": "cpu", "measure_cost": False}
    alone = RunContext(Run.create(tmp_path / "alone" / "runs" / "one", {"config": config}))
    alone.case_dir = case.dir
    one = load_file(alone.run.dir / repair.run(alone)["checkpoint"])
    two = load_file(run.dir / result["checkpoint"])
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=5e-4)


def test_what_one_process_refuses_two_refuse_in_a_sentence(case, tmp_path):
    done = torchrun(tmp_path, "repair", case.dir, "--recipe", "eftclip")
    assert done.returncode != 0
    assert "at least one verified trigger" in done.stderr
    assert not launcher.runs(case.dir)  # refused before a run was made
    many = ("--set", "pairs=40", "--set", "batch=40")  # half of the case's pairs score too high
    done = torchrun(tmp_path, "repair", case.dir, "--recipe", "finetune", *many)
    assert done.returncode != 0
    assert "could be curated" in done.stderr
    (run,) = launcher.runs(case.dir)
    assert run.status().state == "failed"


@pytest.mark.parametrize("text", ["", "a földer"])
def test_a_text_needs_no_group(text):
    assert same_text(text) == text


def test_no_process_works_before_the_first_holds_the_device(case, tmp_path, until):
    changes = [w for name, value in CHANGES.items() for w in ("--set", f"{name}={value}")]
    (tmp_path / "locks").mkdir()
    lock = FileLock(tmp_path / "locks" / "cpu.lock", thread_local=False)
    lock.acquire()
    before = written(case)
    with ThreadPoolExecutor(1) as beside:
        try:
            asked = ("repair", case.dir, "--recipe", "finetune", *changes)
            done = beside.submit(torchrun, tmp_path, *asked)
            until(lambda: any("waiting for" in r.status().message for r in launcher.runs(case.dir)))
            time.sleep(3)  # time enough to embed and curate so small a case
            (run,) = launcher.runs(case.dir)
            made = {path.name for path in run.dir.iterdir()} & {"curated.json", "held_out.json"}
            assert not made
            assert written(case) == before
        finally:
            lock.release()
        assert done.result().returncode == 0, done.result().stderr[-3000:]
    assert run.status().state == "succeeded"


def written(case):
    """Files of evidence."""
    return sorted(path for path in (case.dir / "evidence").rglob("*") if path.is_file())
