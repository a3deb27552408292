"""The attack x detector table on the Attack lab page: read from a file nobody trusts."""

import json

import pytest

from clipforensics.ui import attacktable


def row(attack: str, detector: str, found: float, asr: float = 0.95, rate: float = 0.003) -> dict:
    return {
        "attack": attack, "rate": rate, "poisons": round(rate * 10_000), "seeds": 3,
        "asr_or_psr": asr, "asr_sd": 0.02, "ca": 0.99, "detector": detector, "auroc": 0.9,
        "auroc_sd": 0.01, "average_precision": 0.5, "recall_at_0.001": found / 4,
        "recall_at_0.01": found, "recall_at_0.05": found, "working": asr >= 0.8,
    }  # fmt: skip


ROWS = [
    row("sig", "scales", 0.02, asr=0.4),
    row("badnets", "scales", 0.97), row("badnets", "lof", 0.31),
    row("badnets", "scales", 0.88, rate=0.01),
]  # fmt: skip


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Write a table where the page looks for it; returns the writer."""
    path = tmp_path / "detection.json"
    monkeypatch.setattr(attacktable, "FILE", path)

    def write(rows: list[dict] | str) -> None:
        content = {"rows": rows, "command": "clipforensics bench detection", "made": "2026-11-21",
                   "versions": {"numpy": "2"}}  # fmt: skip
        path.write_text(rows if isinstance(rows, str) else json.dumps(content))

    return write


def shown(at):
    return at.dataframe[-1].value


def test_no_file_is_one_sentence(home, table, visit):
    at = visit("lab")
    assert any("Not measured yet" in one.value for one in at.text)


def test_attacks_by_rate_with_a_column_for_each_detector(home, table, visit):
    table(ROWS)
    at = visit("lab")
    found = shown(at)
    assert found["Attack"].tolist() == ["BadNets patch", "BadNets patch", "SIG"]
    assert found["Poison"].tolist() == ["0.30% (30)", "1.00% (100)", "0.30% (30)"]
    assert found["All scales (LOF)"].tolist() == [0.97, 0.88, 0.02]
    assert found["LOF"].isna().tolist() == [False, True, True]
    assert found["ASR"].tolist() == ["95 ± 2 %", "95 ± 2 %", "40 ± 2 %, not working"]
    assert any("what a reviewer finds" in one.value for one in at.markdown)


def test_figure_detector_and_working_attacks_can_be_chosen(home, table, visit):
    table(ROWS)
    at = visit("lab")
    at.selectbox(key="table.figure").set_value("AUROC").run()
    assert shown(at)["LOF"].tolist()[0] == 0.9
    at.multiselect(key="table.detectors").set_value(["scales"]).run()
    assert "LOF" not in shown(at).columns
    at.toggle(key="table.all").set_value(False).run()
    assert set(shown(at)["Attack"]) == {"BadNets patch"}
    at.multiselect(key="table.detectors").set_value([]).run()
    assert not at.exception
    assert any("Nothing is left" in one.value for one in at.info)


@pytest.mark.parametrize("wrong", [
    "{", "[]", "null", '{"rows": []}', [{**ROWS[0], "auroc": 7}], [{"attack": "x"}],
    [{**ROWS[0], "more": 1}], [{**ROWS[0], "auroc": float("nan")}], "[" * 100_000,
])  # fmt: skip
def test_a_broken_file_is_one_sentence_and_the_page_stands(home, table, visit, wrong):
    table(wrong)
    at = visit("lab")
    assert "is no table of detection results" in at.error[0].value
    assert at.button(key="lab.start")


def test_text_reads_on_every_shade():
    for value in (0.0, 0.3, 0.6, 0.8, 0.83, 0.84, 1.0):
        css = attacktable.shaded(value)
        back = [int(part) for part in css[css.index("(") + 1 : css.index(")")].split(",")]
        ink = [255] * 3 if css.endswith("#ffffff") else [0] * 3
        light, dark = sorted((luminance(back), luminance(ink)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, value


def luminance(rgb: list[int]) -> float:
    """Relative luminance of WCAG 2."""
    parts = [one / 255 for one in rgb]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_names_are_spelled_out_and_one_seed_has_no_spread():
    assert attacktable.attack_title("badnets_corner") == "BadNets patch, corner"
    assert attacktable.attack_title("badnets_redrawn") == "Noise patch, re-drawn"
    assert attacktable.attack_title("unheard_of") == "unheard of"
    assert attacktable.detector_title("lof, whole set") == "LOF, whole set"
    assert attacktable.detector_title("feature norm") == "Feature norm"
    one = attacktable.DetectionRow.model_validate(row("badnets", "lof", 0.5) | {"seeds": 1})
    assert attacktable.styled([one], "recall_0_01").data["ASR"].tolist() == ["95 %"]


def test_the_shipped_table_can_be_read():
    from clipforensics.config.results import read_detection

    found = read_detection(attacktable.shell.ROOT / "assets" / "results" / "detection.json")
    assert found is not None
    assert {row.detector for row in found.rows} >= set(attacktable.FIRST)


def test_clean_label_that_stamps_much_of_a_concept_is_marked(home, table, visit):
    table(ROWS)
    assert not any("†" in one.value for one in visit("lab").markdown)
    table([row("clean_label", "scales", 0.1, rate=rate) for rate in (0.005, 0.01, 0.03)])
    at = visit("lab")
    assert shown(at)["Attack"].tolist() == ["Clean label", "Clean label †", "Clean label †"]
    assert any("† Here a good part or most" in one.value for one in at.markdown)
