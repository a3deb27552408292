"""Two gloo processes give what one gives at the same global batch: losses, gradients, weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clipforensics.config.train import TrainSettings
from clipforensics.errors import ConfigError
from clipforensics.models.tiny import TINY_CONFIG
from clipforensics.train import distributed
from clipforensics.train.distributed import World, agreed, gather, mean_over_all, own_share, world

SCRIPT = Path(__file__).with_name("two_processes.py")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def start(*words):
    """A python of its own, on the loopback device alone."""
    root = Path(distributed.__file__).resolve().parents[2]
    env = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    env["PYTHONPATH"] = f"{root}:{env.get('PYTHONPATH', '')}"
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    start(SCRIPT, folder / "one")
    start(*TORCHRUN, SCRIPT, folder / "two")
    return load_file(folder / "one"), load_file(folder / "two")


@pytest.mark.parametrize(
    "name", ["finetune", "cleanclip", "eftclip", "filter", "roclip", "safeclip"]
)
def test_two_processes_match_one(answers, name):
    one, two = ({k: v for k, v in a.items() if k.startswith(f"{name}/")} for a in answers)
    assert one.keys() == two.keys()
    assert any(key.startswith(f"{name}/grad/") for key in one)
    steps = one[f"{name}/steps"], two[f"{name}/steps"]
    assert len(steps[0]) >= 4
    torch.testing.assert_close(steps[1], steps[0], rtol=1e-4, atol=1e-5)
    for key, value in one.items():
        if "/grad/" in key:
            torch.testing.assert_close(two[key], value, rtol=1e-4, atol=1e-6)
        elif "/weight/" in key:
            # AdamW divides by the gradient's own size: where that is rounding, so is the step
            torch.testing.assert_close(two[key], value, rtol=1e-3, atol=2e-4)


def test_two_processes_share_the_scoring_and_agree_with_one(answers):
    one, two = (answer["alignment/cosines"] for answer in answers)
    assert len(one) == 31
    assert len(one.unique()) == 31
    torch.testing.assert_close(two, one, rtol=0, atol=1e-6)


def test_one_process_needs_no_group():
    x = torch.ones(3, 2, requires_grad=True)
    assert gather(x) is x
    assert world() == World(0, 1)
    assert own_share(10) == 10
    assert agreed(True)
    assert mean_over_all({"a": 2.0}) == {"a": 2.0}


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch):
    monkeypatch.setattr(distributed, "world", lambda: World(0, 3))
    with pytest.raises(ConfigError, match="Choose a multiple of 3"):
        own_share(16)


def test_the_command_train_under_torchrun(tmp_path):
    from clipforensics.data.images import write_png
    from clipforensics.jobs.attacking.train import train_pairs

    rng = torch.Generator().manual_seed(0)
    lines = ["filepath,title"]
    for i in range(24):
        picture = torch.randint(0, 255, (32, 32, 3), generator=rng, dtype=torch.uint8)
        write_png(tmp_path / f"{i}.png", picture.numpy())
        lines.append(f"{i}.png,a {'cat' if i % 2 else 'dog'} number {i}")
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    (tmp_path / "tiny.json").write_text(json.dumps(TINY_CONFIG))
    done = start(
        *TORCHRUN, "-m", "clipforensics", "train", tmp_path / "pairs.csv", "--model",
        tmp_path / "tiny.json", "--labels", tmp_path / "labels.txt", "--out", tmp_path / "two",
        "--epochs", 2, "--batch", 8, "--device", "cpu", "--json",
    )  # fmt: skip
    result = json.loads(done.stdout)  # one object: only the first process answers
    assert (result["steps"], result["processes"]) == (6, 2)
    one = train_pairs(
        tmp_path / "pairs.csv", str(tmp_path / "tiny.json"), tmp_path / "labels.txt",
        tmp_path / "one", TrainSettings(epochs=2, batch=8), device="cpu",
    )  # fmt: skip
    a, b = load_file(one["checkpoint"]), load_file(result["checkpoint"])
    for name, value in a.items():
        torch.testing.assert_close(b[name], value, rtol=1e-3, atol=5e-4)
