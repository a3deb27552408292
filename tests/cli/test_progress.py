"""What the command line says while it works: each stage, its pace, its end."""

from clipforensics.cli import output


def told(capsys, *calls):
    tell = output.progress_line()
    for call in calls:
        tell(*call)
    return capsys.readouterr().err.splitlines()


def test_a_stage_of_unknown_length_is_named_once(capsys):
    assert told(capsys, *[(0, 0, "loading")] * 5, (0, 0, "training"), (0, 0, "loading")) == [
        "loading", "training", "loading",
    ]  # fmt: skip


def test_a_stage_says_its_first_step_and_its_end_at_once(capsys):
    first, last = told(capsys, (0, 1200, "scored"), (1, 1200, "scored"), (1200, 1200, "scored"))
    assert first == "scored: 0 of 1,200"
    assert last.startswith("scored: 1,200 of 1,200, ")


def test_a_stage_that_stands_still_is_not_repeated_every_second(capsys, monkeypatch):
    clock = iter([100.0, 102.0, 104.0, 131.0, 133.0])
    monkeypatch.setattr(output.time, "monotonic", lambda: next(clock))
    steps = (5, 5, 5, 5, 6)
    lines = told(capsys, *[(step, 12, "measuring") for step in steps])
    assert [line.split(",")[0] for line in lines] == [
        "measuring: 5 of 12", "measuring: 5 of 12", "measuring: 6 of 12",
    ]  # fmt: skip


def test_pace_and_time_left_count_from_the_stages_first_step(capsys, monkeypatch):
    clock = iter([100.0, 102.0, 104.0])
    monkeypatch.setattr(output.time, "monotonic", lambda: next(clock))
    lines = told(capsys, (50, 100, "resumed"), (60, 100, "resumed"), (70, 100, "resumed"))
    assert lines[1:] == [
        "resumed: 60 of 100, 5.0/s, 8 s left",
        "resumed: 70 of 100, 5.0/s, 6 s left",
    ]
