"""Device locks: one name a device, several held together, none kept by a run that gave up."""

from datetime import timedelta

import pytest
from filelock import FileLock, Timeout

from clipforensics.errors import RunError
from clipforensics.jobs.runs import devices, runner
from clipforensics.jobs.runs.context import RunContext
from clipforensics.jobs.runs.run_folder import Run, Stopped
from clipforensics.train import distributed
from clipforensics.train.distributed import devices_here


@pytest.fixture
def context(tmp_path):
    return RunContext(Run.create(tmp_path / "case" / "runs" / "one", {"config": {"device": "cpu"}}))


def taken(folder, name):
    """Whether somebody holds this lock."""
    lock = FileLock(folder / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


@pytest.mark.parametrize(
    ("asked", "lock"), [("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")]
)
def test_one_device_has_one_lock(asked, lock):
    assert devices.device_of({"device": asked}) == lock


def test_several_devices_are_held_together_and_let_go_together(locks, context):
    with devices.turn(["cuda:1", "cuda:0", "cuda:1"], context):
        assert taken(locks, "cuda-0")
        assert taken(locks, "cuda-1")
        assert not taken(locks, "cuda-2")
        assert (locks / "cuda-1.holder").read_text() == str(context.run.dir)
    assert not taken(locks, "cuda-0")
    assert not taken(locks, "cuda-1")


def test_they_are_taken_in_one_order_whatever_the_order_asked(locks, context, monkeypatch):
    # two runs that each held one of two and waited for the other would wait for ever
    seen = []
    monkeypatch.setattr(devices, "_take", lambda device, *_: seen.append(device))
    for asked in (["cuda:1", "cuda:0"], ["cuda:0", "cuda:1"]):
        with devices.turn(asked, context):
            pass
    assert seen == ["cuda:0", "cuda:1"] * 2


def test_a_run_that_is_stopped_while_it_waits_for_the_second_lets_the_first_go(
    locks, context, monkeypatch
):
    asked = iter((False, True))
    monkeypatch.setattr(context, "should_stop", lambda: next(asked))
    with FileLock(locks / "cuda-1.lock"):
        with pytest.raises(Stopped), devices.turn(["cuda:0", "cuda:1"], context):
            pytest.fail("held by another")
        assert "waiting for the cuda:1" in context.run.status().message
        assert not taken(locks, "cuda-0")


def test_a_place_where_no_lock_can_lie_is_one_sentence(tmp_path, monkeypatch, context):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CLIPFORENSICS_LOCKS", str(tmp_path / "file" / "locks"))
    with pytest.raises(RunError, match="Set CLIPFORENSICS_LOCKS"), devices.turn(["cpu"], context):
        pytest.fail("no lock was taken")


def test_a_run_works_while_it_holds_every_device_and_says_so_first(locks, context, monkeypatch):
    seen = []

    def noted(name):
        seen.append((name, taken(locks, "cuda-0"), taken(locks, "cuda-1")))

    monkeypatch.setattr(runner, "_job_of", lambda kind: lambda context: noted("work"))
    monkeypatch.setattr(runner.signal, "signal", lambda *_: None)  # the tests keep their own
    end = runner.play(context, ["cuda:0", "cuda:1"], lambda: noted("held"))
    assert end["state"] == "succeeded", end
    assert seen == [("held", True, True), ("work", True, True)]
    assert not taken(locks, "cuda-1")


@pytest.mark.parametrize(("own", "here"), [("cpu", ["cpu"]), ("cuda:1", ["cuda:0", "cuda:1"])])
def test_the_first_process_waits_for_every_device_of_its_machine(own, here, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert devices_here(own) == here
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    assert devices_here("cuda:3") == ["cuda:3"]  # alone on its machine, on the device it was given


def test_the_others_wait_for_the_first_as_long_as_it_may_wait_for_its_devices(monkeypatch):
    asked = {}
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(
        distributed.group, "init_process_group", lambda backend, **given: asked.update(given)
    )
    monkeypatch.setattr(distributed.group, "destroy_process_group", lambda: None)
    with distributed.joined("cpu") as own:
        assert own == "cpu"
    assert asked == {"timeout": timedelta(days=1)}
