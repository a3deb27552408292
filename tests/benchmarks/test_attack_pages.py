"""The tables in docs/RESULTS.md are those of the file that the Lab page reads."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from clipforensics.errors import DataError

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import detection
from _attack_pages import MAIN, pages
from detection import beside

ROOT = Path(__file__).parents[2]


def rows(attack, rate, asr):
    return [
        {
            "attack": attack, "rate": rate, "poisons": 100, "seeds": 3, "asr_or_psr": asr,
            "asr_sd": 0.01, "ca": 0.98, "working": asr >= 0.8, "detector": name, "auroc": 0.9,
            "auroc_sd": 0.012, "average_precision": 0.5, "recall_at_0.001": 0.1,
            "recall_at_0.01": 0.6, "recall_at_0.05": 1.0, "target_first": 2,
        }
        for name in MAIN
    ]  # fmt: skip


def test_each_attack_has_a_line_in_both_tables(tmp_path):
    made = {"rows": rows("badnets", 0.01, 0.9) + rows("clean_label", 0.03, 0.3)}
    (tmp_path / "d.json").write_text(json.dumps({**made, "command": "c", "made": "now"}))
    about, first, second = pages(tmp_path / "d.json").split("\n\n")
    assert about == "Last measured now by `c` (torch ?)."
    assert [line.split(" | ")[0] for line in first.splitlines()[2:]] == [
        "| badnets", "| clean_label †"
    ]  # fmt: skip
    assert " 0.90 | 0.980 | 0.900 |" in first
    assert "*0.30*" in first
    assert first.count("first in 2 of 3") == 2
    assert ".900 ± .012 | .50; .10, 1.00" in second
    for table in (first, second):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    with pytest.raises(DataError, match="No results at"):
        pages(tmp_path / "none.json")


def test_measuring_some_attacks_keeps_the_rows_of_the_others_in_the_table_s_order(tmp_path):
    (tmp_path / "d.json").write_text(
        json.dumps({"rows": rows("badnets", 0.01, 0.9) + rows("sig", 0.01, 0.2)})
    )
    new = rows("badnets_centre", 0.01, 0.7) + rows("sig", 0.01, 0.6) + rows("sig", 0.03, 0.9)
    joined = beside(tmp_path / "d.json", new)
    told = dict.fromkeys((one["attack"], one["rate"], one["asr_or_psr"]) for one in joined)
    assert list(told) == [
        ("badnets", 0.01, 0.9), ("badnets_centre", 0.01, 0.7), ("sig", 0.01, 0.6), ("sig", 0.03, 0.9),
    ]  # fmt: skip
    assert beside(tmp_path / "none.json", new) == new


def test_what_is_written_keeps_what_was_not_measured_now(tmp_path, monkeypatch):
    out = tmp_path / "d.json"
    out.write_text(json.dumps({"rows": rows("sig", 0.01, 0.2) + rows("sig", 0.03, 0.9)}))
    monkeypatch.setattr(detection, "measured", lambda *_: [])
    monkeypatch.setattr(detection, "told", lambda records: {})
    monkeypatch.setattr(detection, "shown", lambda records: rows("sig", 0.03, 0.7))
    asked = Namespace(
        attacks="sig", attack_seeds=1, folder=".", only="measured", out=str(out), json=True
    )
    detection.over_attacks(asked)
    written = json.loads(out.read_text())["rows"]
    assert {(one["rate"], one["asr_or_psr"]) for one in written} == {(0.01, 0.2), (0.03, 0.7)}


def test_the_tables_in_the_results_are_the_files():
    told = (ROOT / "docs" / "RESULTS.md").read_text(encoding="utf-8")
    _, *tables = pages(ROOT / "assets" / "results" / "detection.json").split("\n\n")
    for table in tables:
        assert table in told
