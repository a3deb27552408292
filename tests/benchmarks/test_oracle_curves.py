"""The oracle's curves: which pictures, which cells count, and a chart that any viewer opens."""

import sys
from pathlib import Path
from xml.etree import ElementTree

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from _chart import Panel, write_chart
from _oracle_cells import TAUS, THETAS
from _oracle_pictures import held_out
from oracle_curves import DEFAULT, curves, panels, point

from clipforensics.data.demo_world import labels


def cell(segmenter="small", asr=0.95, verified=0.9, place="random"):
    settings = [(theta, DEFAULT.tau) for theta in THETAS]
    settings += [(DEFAULT.theta, tau) for tau in TAUS if tau != DEFAULT.tau]
    points = [
        {"theta": theta, "tau": tau, "found_pulled": 1.0, "verified_pulled": verified,
         "verified_all": verified / 2, "false_before": tau / 10, "false_after": 0.0}
        for theta, tau in settings
    ]  # fmt: skip
    return {
        "segmenter": segmenter, "patch_px": 5, "place": place, "asr": asr, "points": points,
    }  # fmt: skip


def test_curves_are_means_over_the_attacks_that_work():
    found = curves([cell(verified=0.8), cell(verified=1.0), cell(asr=0.3, verified=0.0)])
    assert found["small"]["cells"] == 2
    assert found["small"]["theta"]["0.66"]["verified_pulled"] == 0.9
    assert found["small"]["tau"]["10"]["false_before"] == 1.0
    assert list(map(float, found["small"]["tau"])) == list(TAUS)


def test_a_segmenter_without_a_working_attack_has_no_curve():
    assert curves([cell(segmenter="fast", asr=0.1)]) == {}


def test_two_segmenters_are_held_against_each_other():
    assert len(panels([cell()])) == 6
    *_, first, _, _ = panels([cell(), cell(segmenter="fast", verified=0.7)])
    assert {name: ys[0] for name, ys in first.lines.items()} == {
        "small SAM, mean": 0.9, "fast mode, mean": 0.7,
    }  # fmt: skip


def test_a_rate_that_nobody_could_measure_is_left_out_of_the_mean():
    nobody, somebody = cell(), cell()
    point(nobody, DEFAULT.theta, DEFAULT.tau)["verified_pulled"] = None
    found = curves([nobody, somebody])["small"]["tau"][str(DEFAULT.tau)]
    assert found["verified_pulled"] == 0.9


def test_stamped_bases_show_no_target_and_no_picture_serves_twice():
    pictures = held_out(3, 6, 5, "banana")
    assert pictures.bases.shape[0] == len(pictures.base_ids) == 6
    used = [*pictures.bases, *pictures.clean, *pictures.others]
    shown = {picture.tobytes() for picture in used}
    assert len(shown) == len(used) > 1_000
    assert pictures.spare.picture(0, 64).tobytes() not in shown
    assert labels().named_in(pictures.spare.captions[0])


def test_the_chart_is_one_well_formed_file(tmp_path):
    file = tmp_path / "chart.svg"
    write_chart(file, panels([cell(), cell(place="top_left")]))
    root = ElementTree.parse(file).getroot()
    lines = [one for one in root.iter() if one.tag.endswith("polyline")]
    assert len(lines) == 6 * (2 + 3) + 2  # two lines and three rules a panel, two in the legend
    write_chart(file, [Panel("<b>&", "x", (0, 1), {"one, a": [None, None]})])
    assert "<b>" not in file.read_text(encoding="utf-8")
