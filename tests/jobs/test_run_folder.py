"""What a run folder tells, and that a reader never trips over a writer."""

import time

import numpy as np
import pytest

from clipforensics.errors import RunError
from clipforensics.jobs.runs import context as contexts
from clipforensics.jobs.runs.context import RunContext
from clipforensics.jobs.runs.run_folder import Run


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "case" / "runs" / "r1", {"kind": "scan", "config": {"k": 3}})


def test_a_new_run_is_queued(run):
    assert (run.status().state, run.kind, run.config, run.id) == ("queued", "scan", {"k": 3}, "r1")
    assert run.case_dir.name == "case"
    assert (run.result(), run.environment(), run.process(), run.log_tail()) == (None, {}, None, "")
    assert Run.open(run.dir).status().active
    with pytest.raises(RunError):
        Run.create(run.dir, {})
    with pytest.raises(RunError, match=r"config.json is missing"):
        Run.open(run.dir / "nowhere")


def test_the_journal_is_read_in_whole_lines_from_where_one_left_off(run):
    path = run.dir / "journal.jsonl"
    assert run.journal() == ([], 0)
    path.write_text('{"step": 1}\nno json\n[1]\n{"step": 2}\n{"st')
    records, offset = run.journal()
    assert records == [{"step": 1}, {"step": 2}]
    with open(path, "a") as file:
        file.write('ep": 3}\n')
    assert run.journal(offset) == ([{"step": 3}], path.stat().st_size)


def test_a_resumed_writer_does_not_run_into_a_half_line(run):
    (run.dir / "journal.jsonl").write_text('{"step": 1}\n{"step"')
    RunContext(run).journal({"step": 2, "loss": np.float32(0.5), "ids": np.arange(2)})
    first, second = run.journal()[0]
    assert first == {"step": 1}
    assert (second["step"], second["loss"], second["ids"]) == (2, 0.5, [0, 1])


def test_the_log_tail_is_short_and_survives_any_bytes(run):
    (run.dir / "stdout.log").write_bytes(b"\xff\n" + b"line\n" * 10_000)
    assert run.log_tail(3) == "line\nline\nline"
    (run.dir / "stdout.log").write_bytes(b"\xff")
    assert len(run.log_tail()) == 1


def test_unfinished_checkpoints_are_not_listed(run):
    for name in (".a.safetensors.tmp", ".b.safetensors", "b.safetensors", "notes.txt"):
        (run.dir / "checkpoints" / name).touch()
    assert [path.name for path in run.checkpoints()] == ["b.safetensors"]


def test_rate_and_eta_belong_to_the_stage_and_start_where_it_resumed(run, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(contexts.time, "time", lambda: clock[0])
    context = RunContext(run)

    def told(step, total, message, **figures):
        clock[0] += 1
        context.progress(step, total, message, **figures)
        return run.status()

    assert told(500, 1000, "embedding", device="cpu").eta_seconds is None
    status = told(600, 1000, "embedding")
    assert (status.rate, status.eta_seconds) == (100.0, 4.0)
    assert status.figures == {"device": "cpu"}
    assert told(1, 50, "scoring").rate is None
    assert told(3, 50, "scoring").rate == 2.0


def test_frequent_progress_is_written_in_time(run, until):
    import threading

    context = RunContext(run)
    threading.Thread(target=context.beat, daemon=True).start()
    for step in range(500):
        context.progress(step, 500, "fast")
    until(lambda: run.status().step == 499)
    context.end_beat()


def test_a_heartbeat_shows_life_without_steps(run, until, monkeypatch):
    import threading

    monkeypatch.setattr(contexts, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(contexts, "TICK_SECONDS", 0.05)
    context = RunContext(run)
    context.progress(1, 2, "long evaluation")
    stepped = run.status().stepped
    threading.Thread(target=context.beat, daemon=True).start()
    until(lambda: run.status().heartbeat > stepped + 0.2)
    context.end_beat()
    assert run.status().stepped == stepped


def test_a_full_disk_warns_and_does_not_end_the_work(run, monkeypatch, capsys):
    context = RunContext(run)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Run, "write_status", full)
    context.progress(1, 2, "working")
    monkeypatch.setattr(contexts.json, "dumps", full)
    context.journal({"loss": 1.0})
    assert capsys.readouterr().err.count("No space left") == 2


def test_stop_is_seen_and_remembered(run):
    context = RunContext(run)
    assert not context.should_stop()
    run.request_stop()
    assert context.should_stop()
    (run.dir / "STOP").unlink()
    assert context.should_stop()
    assert run.seconds_since("STOP") is None
    run.request_stop()
    assert run.seconds_since("STOP") <= time.time()
