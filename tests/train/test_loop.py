"""The loop on a tiny world: it learns, stops, keeps, resumes exactly, and refuses NaN."""

import json
import shutil

import numpy as np
import pytest
import torch

from clipforensics.config.train import LoopSettings, TrainSettings
from clipforensics.errors import ConfigError, DataError, RunError
from clipforensics.models.tiny import tiny_clip
from clipforensics.models.weights import load_state, save_state, sha256_state
from clipforensics.train.checkpoint import Checkpoints
from clipforensics.train.loop import train
from clipforensics.train.optimizer import adamw, load_moments, moments
from clipforensics.train.plain import PlainClip
from clipforensics.train.recipe import TrainingData, order

WORDS = ("red", "green", "blue", "dark")
COLOURS = np.array([[220, 20, 20], [20, 220, 20], [20, 20, 220], [10, 10, 10]], np.uint8)
SETTINGS = TrainSettings(epochs=4, batch=16, rate=3e-3)


def tiny_world(encoder, n=64):
    rng = np.random.default_rng(0)
    kind = np.arange(n) % 4
    noise = rng.integers(0, 20, (n, 32, 32, 3), np.uint8)
    frames = torch.from_numpy(COLOURS[kind][:, None, None, :] + noise)
    return TrainingData(frames, encoder.tokenize([f"a {WORDS[k]} wall" for k in kind]))


def run(folder=None, settings=SETTINGS, recipe=None, seen=None, **more):
    encoder = tiny_clip(0)
    data = tiny_world(encoder)
    recipe = recipe or PlainClip(np.arange(len(data)), settings)
    records = [] if seen is None else seen
    loop = LoopSettings(report_every=1, evaluate_every=4)
    out = train(
        encoder, data, recipe, settings, loop, on_record=records.append, folder=folder, **more
    )
    return encoder, out, records


def weights(encoder):
    return torch.cat([v.reshape(-1).float() for v in encoder.module.state_dict().values()])


def test_the_loss_falls():
    _, out, records = run()
    losses = [r["loss"] for r in records if r["kind"] == "loss"]
    assert len(losses) == out.step == out.total == 16
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) - 0.2
    assert all(r["eta_seconds"] >= 0 for r in records if r["kind"] == "loss")


def test_the_same_seed_gives_the_same_weights():
    assert torch.equal(weights(run()[0]), weights(run()[0]))


def test_a_trained_model_is_no_longer_known_by_its_old_weights():
    encoder, _, _ = run()
    assert encoder.fingerprint != tiny_clip(0).fingerprint
    assert encoder.fingerprint == sha256_state(encoder.module.state_dict())


def test_evaluation_starts_at_step_0_and_ends_at_the_end(tmp_path):
    _, out, records = run(tmp_path, evaluate=lambda e: {"ca": 0.5})
    assert [r["step"] for r in records if r["kind"] == "evaluation"] == [0, 4, 8, 12, 16]
    assert out.evaluation == {"ca": 0.5}
    assert out.checkpoint == tmp_path / "final.safetensors"
    assert set(load_state(out.checkpoint)) == set(tiny_clip(0).module.state_dict())


@pytest.mark.parametrize("stop_after", [3, 4, 6, 13])
def test_a_stopped_run_resumes_to_equal_weights(tmp_path, stop_after):
    straight = weights(run()[0])
    count = iter(range(100))
    _, out, _ = run(tmp_path, should_stop=lambda: next(count) >= stop_after)
    assert out.stopped
    assert out.step == stop_after
    resumed, out, records = run(tmp_path, resume=True)
    assert records[0]["kind"] == "resume"
    assert out.step == 16
    assert torch.equal(weights(resumed), straight)


def test_a_resumed_run_tells_the_seconds_of_all_its_steps(tmp_path):
    count = iter(range(100))
    _, halted, _ = run(tmp_path, should_stop=lambda: next(count) >= 12)
    _, out, _ = run(tmp_path, resume=True)
    last = json.loads((tmp_path / "resume" / "last.json").read_text())
    assert out.seconds > halted.seconds > 0
    assert last["seconds"] == out.seconds


def test_weights_that_a_killed_process_had_not_written_yet_are_written_by_the_next(tmp_path):
    count = iter(range(100))
    run(tmp_path, should_stop=lambda: next(count) >= 6)
    (tmp_path / "step-000006.safetensors").unlink()
    seen = iter(range(100))
    _, out, _ = run(tmp_path, resume=True, should_stop=lambda: next(seen) >= 0)
    assert out.checkpoint == tmp_path / "step-000006.safetensors"
    assert load_state(out.checkpoint).keys() == tiny_clip(0).module.state_dict().keys()


def test_what_a_process_that_was_killed_while_it_saved_has_left_is_removed(tmp_path):
    count = iter(range(100))
    run(tmp_path, should_stop=lambda: next(count) >= 6)
    names = (
        ".step-000009.safetensors.x1",
        "resume/.last-000009.safetensors.x2",
        "resume/.last.json.x3",
    )
    left = [tmp_path / name for name in names]
    kept = {path for path in tmp_path.rglob("*") if path.is_file()}
    for path in left:
        path.write_bytes(b"half")
    seen = iter(range(100))
    run(tmp_path, resume=True, should_stop=lambda: next(seen) >= 0)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == kept


def test_checkpoints_without_what_it_takes_to_go_on_are_no_fresh_start(tmp_path):
    count = iter(range(100))
    run(tmp_path, should_stop=lambda: next(count) >= 6)
    assert Checkpoints(tmp_path).can_resume
    shutil.rmtree(tmp_path / "resume")
    with pytest.raises(RunError, match=r"keeps checkpoints, but resume/last.json is gone"):
        _ = Checkpoints(tmp_path).can_resume
    assert not Checkpoints(tmp_path / "none").can_resume


@pytest.mark.parametrize("content", ["[]", "{}", '{"tensors": 3}', "no json"])
def test_a_list_of_tensors_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "resume").mkdir()
    (tmp_path / "resume" / "last.json").write_text(content)
    with pytest.raises(RunError, match="no checkpoint to resume from"):
        run(tmp_path, resume=True)


def test_moments_come_back_to_where_the_weights_are():
    module = tiny_clip(0).module
    optimizer = adamw(module, SETTINGS)
    for weight in module.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    saved = {name: value.clone() for name, value in moments(module, optimizer).items()}
    elsewhere = tiny_clip(0).module.to("meta")
    other = adamw(elsewhere, SETTINGS)
    load_moments(elsewhere, other, saved)
    assert {value.device.type for value in moments(elsewhere, other).values()} == {"meta"}
    again = tiny_clip(0).module
    other = adamw(again, SETTINGS)
    load_moments(again, other, saved)
    for name, value in moments(again, other).items():
        assert torch.equal(value, saved[name])


def test_old_checkpoints_go(tmp_path):
    run(tmp_path)
    names = sorted(p.name for p in tmp_path.glob("step-*"))
    assert names == ["step-000012.safetensors", "step-000016.safetensors"]
    assert len(list(tmp_path.glob("resume/last-*"))) == 1


class Breaks(PlainClip):
    """Breaks at step 7."""

    def losses(self, encoder, batch):
        losses, report = super().losses(encoder, batch)
        at = batch.phase.epoch * 4 + batch.position
        return ({"clip": losses["clip"] * float("nan")} if at == 6 else losses), report


def test_nan_ends_the_run_and_names_the_last_good_checkpoint(tmp_path):
    with pytest.raises(RunError, match=r"step 7 .*step-000004\.safetensors"):
        run(tmp_path, recipe=Breaks(np.arange(64), SETTINGS))
    state = load_state(tmp_path / "step-000004.safetensors")
    assert all(torch.isfinite(v).all() for v in state.values())


class Bursts(PlainClip):
    """Its loss stays finite, one weight does not: at step 8, where a checkpoint is due."""

    def losses(self, encoder, batch):
        if batch.phase.epoch * 4 + batch.position == 7:
            with torch.no_grad():
                encoder.module.token_embedding.weight[5] = float("inf")  # of no caption
        return super().losses(encoder, batch)


def test_weights_that_are_not_finite_never_become_a_checkpoint(tmp_path):
    with pytest.raises(RunError, match=r"at step 8 token_embedding.*step-000004\.safetensors"):
        run(tmp_path, recipe=Bursts(np.arange(64), SETTINGS))
    assert [p.name for p in tmp_path.glob("*.safetensors")] == ["step-000004.safetensors"]


class Narrow(PlainClip):
    """A device on which 5 pairs are too many."""

    def losses(self, encoder, batch):
        if len(batch.rows) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().losses(encoder, batch)


class NoRoom(PlainClip):
    def losses(self, encoder, batch):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (Narrow, r"batch=16 does not fit into the memory of cpu \(step 1\)\. A batch of 4 fits"),
        (NoRoom, "Not even a batch of 2 fits"),
    ],
)
def test_a_batch_too_large_is_answered_with_one_that_fits(tmp_path, recipe, words):
    with pytest.raises(RunError, match=words):
        run(tmp_path, recipe=recipe(np.arange(64), SETTINGS))


def test_other_faults_are_not_taken_for_a_full_memory():
    class Broken(PlainClip):
        def losses(self, encoder, batch):
            raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot"):
        run(recipe=Broken(np.arange(64), SETTINGS))


@pytest.mark.parametrize(
    ("lost", "words"),
    [("moments/", "lacks the optimizer's state"), ("weights/logit_scale", "lacks 'weights/logit")],
)
def test_a_checkpoint_that_lost_something_is_refused(tmp_path, lost, words):
    count = iter(range(100))
    run(tmp_path, should_stop=lambda: next(count) >= 6)
    (path,) = (tmp_path / "resume").glob("last-*.safetensors")
    save_state(path, {k: v for k, v in load_state(path).items() if not k.startswith(lost)})
    with pytest.raises(RunError, match=words):
        run(tmp_path, resume=True)


@pytest.mark.parametrize(
    "harm", [lambda path: path.write_bytes(b"\0" * 90), lambda path: path.unlink()]
)
def test_a_checkpoint_that_cannot_be_read_is_refused(tmp_path, harm):
    count = iter(range(100))
    run(tmp_path, should_stop=lambda: next(count) >= 6)
    (path,) = (tmp_path / "resume").glob("last-*.safetensors")
    harm(path)
    with pytest.raises(RunError, match=r"last-000006.*missing or damaged.*Start a new run"):
        run(tmp_path, resume=True)


def test_resuming_nothing_is_refused(tmp_path):
    with pytest.raises(RunError, match="Start a new run"):
        run(tmp_path, resume=True)


def test_fewer_pairs_than_a_batch_are_refused():
    with pytest.raises(ConfigError, match="batch=16 needs at least as many pairs, got 3"):
        PlainClip(np.arange(3), SETTINGS)


def test_a_caption_for_every_picture():
    with pytest.raises(DataError, match="one caption per picture"):
        TrainingData(
            torch.zeros(2, 4, 4, 3, dtype=torch.uint8), torch.zeros(3, 8, dtype=torch.int64)
        )


def test_norms_biases_and_the_scale_do_not_decay():
    module = tiny_clip(0).module
    groups = adamw(module, SETTINGS).param_groups
    assert groups[1]["weight_decay"] == 0
    assert all(p.ndim < 2 for p in groups[1]["params"])
    assert all(p.ndim >= 2 for p in groups[0]["params"])
    assert sum(len(g["params"]) for g in groups) == len(list(module.parameters()))


def test_the_scale_stays_below_100():
    encoder = tiny_clip(0)
    data = tiny_world(encoder)
    with torch.no_grad():
        encoder.module.logit_scale.fill_(9.0)
    train(encoder, data, PlainClip(np.arange(64), SETTINGS), SETTINGS)
    assert encoder.scale <= 100.0001
    assert float(encoder.module.logit_scale.detach().exp()) <= 100.0001


def test_order_comes_from_seed_epoch_and_stream():
    rows = np.arange(50)
    one = order(rows, 0, 1, "clip")
    assert sorted(one) == list(rows)
    assert (one == order(rows, 0, 1, "clip")).all()
    for other in (order(rows, 1, 1, "clip"), order(rows, 0, 2, "clip"), order(rows, 0, 1, "safe")):
        assert (one != other).any()
