"""The command line as its user meets it: exit codes, one line per mistake, JSON on stdout."""

import json

import numpy as np
import pyarrow.parquet
import pytest

from clipforensics.cli.app import main
from clipforensics.config.inversion import InversionSettings
from clipforensics.jobs.hunting import inverting
from clipforensics.models.tiny import TINY_CONFIG
from clipforensics.oracle.anomaly import Inverted, compared


@pytest.fixture
def call(capsys):
    """Run a command; returns (code, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([str(one) for one in arguments])
        code = end.value.code
        assert isinstance(code, int)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def mistake(call):
    """Run a command that must be refused: exit code 2, one line on stderr, nothing on stdout."""

    def run(*arguments: object) -> str:
        code, out, err = call(*arguments)
        assert code == 2
        assert out == ""
        lines = err.strip().splitlines()
        assert len(lines) == 1, err
        assert "Traceback" not in err
        return lines[0]

    return run


@pytest.fixture
def table(tmp_path, rng):
    np.save(tmp_path / "e.npy", rng.normal(size=(300, 8)).astype(np.float32))
    return tmp_path / "e.npy"


@pytest.mark.parametrize("detector", ["lof", "slof", "dao", "kdist", "lid", "iforest"])
def test_score_writes_one_score_a_row(call, table, tmp_path, detector):
    out = tmp_path / "s.parquet"
    code, text, _ = call(
        "score",
        table,
        "--detector",
        detector,
        "--k",
        5,
        "--reference-size",
        100,
        "--out",
        out,
        "--json",
    )
    assert code == 0
    assert json.loads(text)["rows"] == 300
    scores = pyarrow.parquet.read_table(out)
    assert scores.column_names == ["row", "score", "spread"]
    assert scores["row"].to_pylist() == list(range(300))
    assert np.isfinite(scores["score"].to_numpy()).all()


def test_score_against_all_is_scikit_learns_lof(call, table, tmp_path):
    from sklearn.neighbors import LocalOutlierFactor

    out = tmp_path / "s.parquet"
    call("score", table, "--detector", "lof", "--k", 20, "--reference-size", "all", "--out", out)
    expected = -LocalOutlierFactor(n_neighbors=20).fit(np.load(table)).negative_outlier_factor_
    scores = pyarrow.parquet.read_table(out)
    np.testing.assert_allclose(scores["score"], expected, rtol=1e-4)
    assert scores.column_names == ["row", "score"]  # of a single draw there is no spread


def test_the_whole_set_can_be_searched_fast(call, mistake, table, tmp_path):
    from scipy.stats import spearmanr

    exact, fast = tmp_path / "exact.parquet", tmp_path / "fast.parquet"
    whole = ("score", table, "--detector", "lof", "--reference-size", "all")
    for mode, out in (("exact", exact), ("ivf", fast)):
        assert call(*whole, "--mode", mode, "--out", out)[0] == 0
    found = [pyarrow.parquet.read_table(out)["score"].to_numpy() for out in (exact, fast)]
    assert spearmanr(*found).statistic > 0.95
    assert "Unknown mode 'hnsw'; known are exact, ivf" in mistake(
        *whole, "--mode", "hnsw", "--out", fast
    )
    assert "Give all as the reference size" in mistake(
        "score", table, "--detector", "lof", "--mode", "ivf", "--out", fast
    )
    assert "A cut from clean rows needs mode exact" in mistake(
        *whole, "--mode", "ivf", "--clean", table, "--out", tmp_path / "x.parquet"
    )


def test_score_says_what_is_wrong_and_writes_nothing(mistake, table, tmp_path):
    out = tmp_path / "s.parquet"
    broken = np.load(table)
    broken[17, 0] = np.nan
    np.save(tmp_path / "nan.npy", broken)
    assert "row 17" in mistake("score", tmp_path / "nan.npy", "--detector", "lof", "--out", out)
    assert "k=400 needs at least 401" in mistake(
        "score", table, "--detector", "lof", "--k", 400, "--reference-size", "all", "--out", out
    )
    assert "Unknown detector 'typo'" in mistake("score", table, "--detector", "typo", "--out", out)
    assert "No embeddings at" in mistake(
        "score", tmp_path / "x.npy", "--detector", "lof", "--out", out
    )
    assert "k=0" in mistake("score", table, "--detector", "lof", "--k", 0, "--out", out)
    assert not out.exists()


def test_a_pickle_in_npy_clothes_is_refused(mistake, tmp_path):
    np.save(tmp_path / "p.npy", np.array([{"harm": 1}], dtype=object), allow_pickle=True)
    assert "no complete .npy table" in mistake(
        "score", tmp_path / "p.npy", "--detector", "lof", "--out", tmp_path / "s"
    )


def test_unknown_commands_and_options_are_one_line(mistake):
    assert "No such command" in mistake("frobnicate")
    assert "No such option" in mistake("scan", "x", "--frobnicate")
    assert "Missing argument" in mistake("scan")
    assert "No case at" in mistake("scan", "/nowhere")
    assert "No benchmark is called" in mistake("bench", "nothing")
    assert "--part is an option of one benchmark" in mistake("bench", "all", "--part", "demo")


def test_a_benchmark_gets_its_own_options(monkeypatch, call):
    from types import SimpleNamespace

    from clipforensics.cli import bench

    asked = []
    run = SimpleNamespace(run=lambda *a, **_: asked.append(a[0]) or SimpleNamespace(returncode=0))
    monkeypatch.setattr(bench, "subprocess", run)
    assert call("bench", "detection", "--json", "--part", "attacks", "--seeds=2")[0] == 0
    assert asked[0][2:] == ["--json", "--part", "attacks", "--seeds=2"]


def test_case_new_embed_scan(call, inputs, tmp_path):
    folder = tmp_path / "c"
    code, out, _ = call(
        "case", "new", folder, "--data", inputs.data, "--model", inputs.model, "--weights", inputs.weights, "--labels", inputs.labels, "--json"
    )  # fmt: skip
    assert (code, json.loads(out)["pairs"]) == (0, 40)
    code, out, err = call("embed", folder, "--json")
    assert (code, json.loads(out)["rows"]) == (0, 40)
    assert "40 of 40" in err
    code, out, _ = call(
        "scan", folder, "--detector", "lof", "--k", 5, "--reference-size", 20, "--json"
    )
    assert code == 0
    assert json.loads(out)["scored"] == 40
    code, out, _ = call("verify", folder, "--json")
    assert (code, json.loads(out)["problems"]) == (0, [])


def test_verify_exits_1_when_evidence_changed(call, case):
    with open(case.settings.labels, "a") as file:
        file.write("owl\n")
    code, out, _ = call("verify", case.dir, "--json")
    assert code == 1
    assert "changed since" in json.loads(out)["problems"][0]


def test_a_second_case_in_the_same_folder_is_refused(mistake, case, inputs):
    said = mistake(
        "case", "new", case.dir, "--data", inputs.data, "--model", inputs.model, "--weights", inputs.weights, "--labels", inputs.labels
    )  # fmt: skip
    assert "There is a case" in said


def test_poison_then_train(call, tmp_path):
    from clipforensics.attacks.poison import poison
    from clipforensics.config.attack import PoisonSettings
    from clipforensics.data.demo_world import DemoWorld, labels

    clean = tmp_path / "clean"
    poison(DemoWorld(0, 240, 40), labels(), PoisonSettings(rate=0.004), clean, workers=1)
    model = tmp_path / "tiny.json"
    model.write_text(json.dumps(TINY_CONFIG))
    out = tmp_path / "bad"
    code, text, _ = call(
        "poison",
        clean,
        "--attack",
        "blend",
        "--rate",
        0.05,
        "--target",
        "dog",
        "--out",
        out,
        "--json",
    )
    assert code == 0
    assert json.loads(text)["poisons"] == 12
    code, text, _ = call(
        "train", out, "--model", model, "--labels", out / "labels.txt", "--out", tmp_path / "run",
        "--manifest", out / "manifest.json", "--epochs", 1, "--batch", 40, "--json",
    )  # fmt: skip
    assert code == 0
    result = json.loads(text)
    assert {"ca", "asr", "n_asr"} <= set(result)
    assert (tmp_path / "run" / "journal.jsonl").exists()


def test_poison_misses_no_test_picture_late(mistake, call, tmp_path):
    """Test rows start at --image-root as well, and what is missing is said before anything is made."""
    from clipforensics.data.images import write_png

    root, tables = tmp_path / "pictures", tmp_path / "tables"
    root.mkdir()
    tables.mkdir()
    for i in range(40):
        write_png(root / f"{i}.png", np.full((32, 32, 3), i, np.uint8))
    lines = "".join(f"{i}.png,a {('dog', 'cat')[i % 2]}\n" for i in range(40))
    (tables / "pairs.csv").write_text("filepath,title\n" + lines)
    (tables / "test.csv").write_text("filepath,title,label\n0.png,,cat\n1.png,,dog\n")
    ask = ("poison", tables, "--attack", "blend", "--rate", 0.1, "--target", "dog",
           "--out", tmp_path / "out", "--image-root", root)  # fmt: skip
    (tables / "labels.txt").write_text("cat\ndog\n")
    assert call(*ask)[0] == 0
    assert len(list((tmp_path / "out" / "test").iterdir())) == 2
    (root / "1.png").unlink()
    lines = lines.replace("1.png,a cat\n", "", 1)
    (tables / "pairs.csv").write_text("filepath,title\n" + lines)
    said = mistake(*ask[:9], tmp_path / "late", *ask[10:])
    assert said.startswith("1 of 2 pictures are missing (first:")
    assert not (tmp_path / "late").exists()


def test_repair_complains_before_a_process_is_started(mistake, case):
    assert (
        "unknown setting"
        in mistake("repair", case.dir, "--recipe", "eftclip", "--set", "nonsense=1").lower()
    )
    assert "recipe" in mistake("repair", case.dir, "--recipe", "wishing")
    assert "at least one verified trigger" in mistake("repair", case.dir, "--recipe", "eftclip")
    few = mistake("repair", case.dir, "--recipe", "roclip")
    assert "A batch of 256 needs at least as many pairs" in few
    assert not list((case.dir / "runs").iterdir())


def test_repair_says_on_stderr_what_a_split_or_a_filter_is_unsure_of(tmp_path, capsys):
    from clipforensics.cli.repair import _watch
    from clipforensics.jobs.runs.run_folder import Run, Status

    run = Run.create(tmp_path / "case" / "runs" / "r1", {"kind": "repair", "config": {}})
    lines = [
        {"step": 3, "split": {"epoch": 0, "warning": "2 safe pairs are below one batch of 32"}},
        {"step": 4, "split": {"epoch": 1}},
        {"step": 5, "filter": {"emptied": ["cat\x1b[2J", "dog"]}},
    ]
    (run.dir / "journal.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    run.write_status(Status("succeeded"))
    assert _watch(run).state == "succeeded"
    said = capsys.readouterr()
    assert said.out == ""
    assert "Main epoch 1: 2 safe pairs are below one batch of 32." in said.err
    assert "Main epoch 2" not in said.err
    assert "The filter left no pair that names cat\\x1b[2J, dog." in said.err


def test_a_demo_of_another_attack_is_refused(mistake, tmp_path):
    assert "carries badnets" in mistake("demo", "--dir", tmp_path / "d", "--attack", "blend")


def test_invert_refuses_what_it_does_not_know(mistake, tmp_path, case):
    assert "Unknown preset 'slow'" in mistake("invert", case.dir, "--preset", "slow")
    refused = mistake("invert", case.dir, "--family", "smell")
    assert refused.count("families") == 1
    assert "families.0='smell': input should be 'mask', 'blend', 'colour' or 'warp'." in refused
    assert "controls=3" in mistake("invert", case.dir, "--controls", 3)
    assert "no trusted model" in mistake("invert", case.dir, "--label", "dog")
    assert "No label to invert" in mistake("invert", case.dir)
    assert "No case" in mistake("invert", tmp_path / "nowhere", "--label", "dog")


@pytest.mark.parametrize("json_asked", [False, True])
def test_invert_says_what_chance_would_flag(call, case, monkeypatch, json_asked):
    settings = InversionSettings(labels=("dog",), families=("mask",))
    some = [
        Inverted(f"label {i}", "mask", 5.0 + i, "px", True, 0.9, (0.8, 1.0), 40, 0.0)
        for i in range(9)
    ]
    result = inverting.result_of(
        [compared(some[0], some[1:], settings)], settings, ("dog",), 1.0, 9
    )
    monkeypatch.setattr(inverting, "invert_case", lambda *_: result)
    code, out, _ = call("invert", case.dir, *(["--json"] if json_asked else []))
    assert code == 0
    assert "1 comparison with control labels: with nothing planted, about 2.6 %" in out
    if not json_asked:
        assert "5 px (8 of 8 controls reached, from 6), anomaly index" in " ".join(out.split())
    if json_asked:
        assert json.loads(out)["chance"]["each"] == pytest.approx(0.026, abs=5e-4)


def test_invert_says_what_could_not_be_tested(call, case, monkeypatch):
    settings = InversionSettings(labels=("dog",), families=("warp",))
    vain = [
        Inverted(f"label {i}", "warp", 1.0, "px shift", False, 0.0, (0.0, 0.1), 40, 0.0)
        for i in range(9)
    ]
    result = inverting.result_of([compared(vain[0], vain[1:], settings)], settings, ("dog",), 1, 9)
    monkeypatch.setattr(inverting, "invert_case", lambda *_: result)
    code, out, _ = call("invert", case.dir)
    said = " ".join(out.split())
    assert code == 0
    assert "could not be tested here: not reached, 0 of 8 controls reached" in said
    assert "flagged" not in said
    assert "none of these labels and families could be tested: warp" in said


def test_invert_help_tells_how_many_labels_are_the_default(call):
    assert "at most 3" in " ".join(call("invert", "--help")[1].replace("│", " ").split())
