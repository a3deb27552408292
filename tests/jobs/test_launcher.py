"""Runs are processes: started once, stopped in steps, found again, and mourned when they die."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

from clipforensics.errors import ConfigError, RunError
from clipforensics.jobs.runs import launcher, runner
from clipforensics.jobs.runs.context import RunContext
from clipforensics.jobs.runs.kinds import COMMANDS, KINDS, another
from clipforensics.jobs.runs.run_folder import Run, Status

CPU = {"device": "cpu"}


def ended(run):
    return lambda: not run.status().active


def running(run):
    return lambda: run.status().state == "running" and run.status().step > 0


def test_a_run_goes_from_queued_to_succeeded_and_leaves_everything(toys, until):
    run = launcher.start(toys, "quick", {**CPU, "seed": 7})
    assert run.status().active
    until(ended(run))
    status = run.status()
    assert (status.state, status.step, status.total, status.message) == ("succeeded", 4, 4, "done")
    assert status.figures == {"best": 3}
    assert status.started <= status.stepped <= status.finished
    assert run.result() == {"answer": 42}
    assert [line["step"] for line in run.journal()[0]] == [0, 1, 2, 3]
    assert all({"t", "step", "ca"} <= set(line) for line in run.journal()[0])
    assert [path.name for path in run.checkpoints()] == ["last.safetensors"]
    env = run.environment()
    assert (env["device"], env["seed"], env["command"]) == ("cpu", 7, run.command)
    assert "toy_runner.py" in run.command
    assert run.id in run.command
    assert [found.id for found in launcher.runs(toys)] == [run.id]


def test_the_process_is_detached(toys, until):
    run = launcher.start(toys, "patient", CPU)
    until(running(run))
    pid, _ = run.process()
    assert os.getsid(pid) == os.getpgid(pid) == pid != os.getsid(0)
    assert run.status().pid == pid


def test_an_equal_config_gives_the_running_run_and_another_does_not(toys, until):
    run = launcher.start(toys, "patient", {**CPU, "a": 1, "b": 2})
    assert launcher.start(toys, "patient", {"b": 2, "a": 1, **CPU}).id == run.id
    assert launcher.start(toys, "patient", {**CPU, "a": 2}).id != run.id
    launcher.stop(run)
    assert launcher.start(toys, "patient", {**CPU, "a": 1, "b": 2}).id != run.id


CLICK = """
import sys
from pathlib import Path
from clipforensics.jobs.runs import launcher, runner
launcher.RUNNER = (sys.executable, sys.argv[2])
launcher.KINDS["patient"] = "toy:patient"
print("ready", flush=True)
sys.stdin.readline()
print(launcher.start(Path(sys.argv[1]), "patient", {"device": "cpu"}).id)
"""


def test_two_start_clicks_from_two_processes_give_one_run(toys):
    words = [sys.executable, "-c", CLICK, str(toys), launcher.RUNNER[1]]
    clicks = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for click in clicks:
        assert click.stdout.readline() == "ready\n"
    for click in clicks:
        click.stdin.write("go\n")
        click.stdin.flush()
    answers = [click.communicate()[0] for click in clicks]
    assert answers[0] == answers[1] != ""
    assert len(launcher.runs(toys)) == 1


def test_one_run_a_device_the_second_waits_and_says_behind_which(toys, until):
    first = launcher.start(toys, "patient", {**CPU, "n": 1})
    until(running(first))
    second = launcher.start(toys, "patient", {**CPU, "n": 2})
    until(lambda: first.id in second.status().message)
    held = f"waiting for the cpu, which run {first.id} of the case {toys.name} holds"
    assert second.status().message == held
    assert second.status().state == "queued"
    first.request_stop()
    until(running(second))
    assert first.status().state == "cancelled"


def test_a_waiting_run_can_be_stopped(toys, until):
    first = launcher.start(toys, "patient", {**CPU, "n": 1})
    until(running(first))
    second = launcher.start(toys, "patient", {**CPU, "n": 2})
    until(lambda: first.id in second.status().message)
    assert launcher.stop(second).state == "cancelled"
    assert first.status().state == "running"


def test_a_killed_run_is_failed_and_keeps_its_checkpoints(toys, until):
    run = launcher.start(toys, "patient", CPU)
    until(running(run))
    os.kill(run.process()[0], signal.SIGKILL)
    until(lambda: launcher.reconcile(toys) or ended(run)())
    status = run.status()
    assert (status.state, status.reason, status.message) == ("failed", "lost", "the process died")
    assert status.step == 1
    assert status.finished
    assert [path.name for path in run.checkpoints()] == ["half.safetensors"]
    assert launcher.reconcile(toys) == []
    # the device is free again
    again = launcher.start(toys, "patient", CPU)
    assert again.id != run.id
    until(running(again))


def test_a_zombie_is_dead():
    child = subprocess.Popen([sys.executable, "-c", ""])
    born = psutil.Process(child.pid).create_time()
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.02)
    assert not launcher.is_alive(child.pid, born)
    child.wait()
    assert not launcher.is_alive(child.pid, born)


def test_a_recycled_pid_is_another_process():
    me = psutil.Process()
    assert launcher.is_alive(me.pid, me.create_time())
    assert not launcher.is_alive(me.pid, me.create_time() - 60)


def test_an_end_written_just_before_death_stays(toys, until):
    run = launcher.start(toys, "quick", CPU)
    until(ended(run))
    until(lambda: not launcher.is_alive(*run.process()))
    launcher.reconcile(toys)
    assert run.status().state == "succeeded"


def test_stop_asks_first(toys, until):
    run = launcher.start(toys, "patient", CPU)
    until(running(run))
    status = launcher.stop(run)
    assert (status.state, status.message) == ("cancelled", "stopped on request")
    assert run.result() == {"saved": True}


@pytest.mark.parametrize(
    ("stubborn", "message"),
    [(False, "stopped by a signal"), (True, "stopped by force")],
    ids=["SIGTERM", "SIGKILL"],
)
def test_stop_insists(toys, until, monkeypatch, stubborn, message):
    monkeypatch.setattr(launcher, "ASK_SECONDS", 0.5)
    monkeypatch.setattr(launcher, "TERM_SECONDS", 0.5)
    run = launcher.start(toys, "deaf", {**CPU, "stubborn": stubborn})
    until(running(run))
    assert launcher.stop(run, wait=False).state == "running"
    status = launcher.stop(run)
    assert (status.state, status.message) == ("cancelled", message)


def test_resume_goes_on_in_the_same_folder(toys, until):
    run = launcher.start(toys, "patient", CPU)
    until(running(run))
    launcher.stop(run)
    assert launcher.resume(run).id == run.id
    until(running(run))
    assert launcher.resume(run).status().active
    assert not run.asked_to_stop


def test_what_a_stopped_job_kept_is_said(toys, until):
    run = launcher.start(toys, "leaving", CPU)
    until(running(run))
    status = launcher.stop(run)
    assert (status.state, status.message) == (
        "cancelled",
        "Stopped after 1 of 9 pictures; they are kept.",
    )


def again_by_hand(run):
    words = [*shlex.split(run.command)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_the_command_of_an_ended_run_leaves_its_record_alone(toys, until):
    run = launcher.start(toys, "quick", CPU)
    until(ended(run))
    until(lambda: not launcher.is_alive(*run.process()))
    record = {path.name: path.read_bytes() for path in run.dir.iterdir() if path.is_file()}
    code, said = again_by_hand(run)
    assert code == 2
    assert said.count("\n") == 1
    assert f"{run.dir} is the record of a run that finished, and is not overwritten. To" in said
    assert record == {path.name: path.read_bytes() for path in run.dir.iterdir() if path.is_file()}


def test_the_command_of_a_stopped_run_names_the_page_that_resumes_it(toys, until, monkeypatch):
    run = launcher.start(toys, "patient", CPU)
    until(running(run))
    code, said = again_by_hand(run)
    assert (code, f"is being run already, by process {run.process()[0]}" in said) == (2, True)
    launcher.stop(run)
    until(lambda: not launcher.is_alive(*run.process()))
    code, said = again_by_hand(run)
    assert (code, "was stopped, and is not overwritten. To start" in said) == (2, True)
    monkeypatch.setattr(runner, "RESUMED", ("patient",))
    with pytest.raises(RunError, match="Resume on its page goes on with it. To start another"):
        runner._check_may_start(run)
    assert launcher.resume(run).status().active  # which the pages do, on purpose
    until(running(run))


def test_another_run_is_started_by_a_command_or_on_its_page(tmp_path):
    assert another("triggers", tmp_path / "a case") == (
        f"clipforensics triggers '{tmp_path / 'a case'}' --top N"
    )
    assert another("lab", tmp_path) == "use the page that shows this one."
    assert set(COMMANDS) <= set(KINDS)


def test_a_folder_that_is_no_run_is_refused_in_one_sentence(tmp_path, capsys):
    assert runner.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("refused", "3 of 5 rows are wrong. Mend them."),
        ("broken", "Unexpected ZeroDivisionError: by zero. The log below has the details."),
        ("full", "The disk is full. Free space and start again; finished work is kept."),
    ],
)
def test_a_failure_is_one_sentence(toys, until, kind, message):
    run = launcher.start(toys, kind, CPU)
    until(ended(run))
    assert (run.status().state, run.status().message) == ("failed", message)
    assert ("Traceback" in run.log_tail()) == (kind != "refused")


def test_a_process_that_never_starts_is_reported(toys, monkeypatch):
    monkeypatch.setattr(launcher, "RUNNER", ("/nowhere/python",))
    with pytest.raises(RunError, match="No run could be started"):
        launcher.start(toys, "quick", CPU)
    (run,) = launcher.runs(toys)
    assert run.status().state == "failed"


def test_a_launcher_that_died_before_the_process_existed_leaves_a_lost_run(toys, monkeypatch):
    run = Run.create(toys / "runs" / "orphan", {"kind": "quick", "config": {}, "sha256": "x"})
    launcher.reconcile(toys)
    assert run.status().state == "queued"
    monkeypatch.setattr(launcher, "SPAWN_SECONDS", 0.0)
    launcher.reconcile(toys)
    assert (run.status().state, run.status().reason) == ("failed", "lost")


def test_nonsense_is_refused(toys):
    with pytest.raises(ConfigError, match="No job is called 'nope'"):
        launcher.start(toys, "nope", {})
    with pytest.raises(ConfigError, match="no JSON"):
        launcher.start(toys, "quick", {"x": object()})
    assert launcher.runs(toys) == []
    assert launcher.reconcile(toys / "nowhere") == []
    assert not (toys / "nowhere").exists()


def test_a_damaged_run_hides_no_other(toys, until):
    for name, config, status in (("a", "{", "{}"), ("b", '{"kind": "quick"}', "{")):
        (toys / "runs" / name).mkdir(parents=True)
        (toys / "runs" / name / "config.json").write_text(config)
        (toys / "runs" / name / "status.json").write_text(status)
    run = launcher.start(toys, "quick", CPU)
    until(ended(run))
    damaged, good = launcher.runs(toys)
    assert (damaged.id, damaged.status().state, damaged.status().reason) == (
        "b",
        "failed",
        "damaged",
    )
    assert good.id == run.id


def test_an_edited_run_is_not_resumed(toys, until):
    run = launcher.start(toys, "quick", {**CPU, "seed": 7})
    until(ended(run))
    content = json.loads((run.dir / "config.json").read_text())
    content["config"]["seed"] = 8
    (run.dir / "config.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match="changed since this run began"):
        launcher.resume(run)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "[" * 200_000),
        ("config.json", '{"config": 5, "kind": "scan"}'),
        ("status.json", "[" * 200_000),
        ("status.json", '{"state": "running", "started": "soon"}'),
        ("status.json", '{"state": "running", "heartbeat": NaN}'),
        ("journal.jsonl", "[" * 200_000 + "\n"),
        ("process.json", '{"pid": -1, "created": 0}'),
        ("process.json", '{"pid": 1e999, "created": 0}'),
    ],
)
def test_a_hostile_file_in_a_run_folder_hides_no_other_run(toys, until, name, content):
    run = launcher.start(toys, "quick", {**CPU, "seed": 7})
    until(ended(run))
    bad = Run.create(toys / "runs" / "bad", {"kind": "quick", "config": {}})
    (bad.dir / name).write_text(content)
    assert run.id in [found.id for found in launcher.runs(toys)]
    launcher.reconcile(toys)
    assert bad.status().state in ("queued", "failed")
    assert bad.journal()[0] == []
    shutil.rmtree(bad.dir)  # a queued run without a process would be waited for


def test_a_resumed_run_keeps_the_seconds_it_has_worked(toys, monkeypatch):
    monkeypatch.setattr(launcher, "_spawn", lambda run: None)
    run = launcher.start(toys, "quick", CPU)
    lost = Status(
        "failed", reason="lost", started=100.0, heartbeat=160.0, finished=9_000.0, earlier=5.0
    )
    assert lost.worked == 65  # nobody knows when it died; it lived until then
    run.write_status(lost)
    assert launcher.resume(run).status().earlier == 65
    assert RunContext(run).earlier == 65
    run.write_status(lost)  # a queued run without a process would be waited for
