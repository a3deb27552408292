"""An inversion in a case: what it flags, what it keeps, and that it can be broken off."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clipforensics.cases.evidence import check_all, evidence_dir, write_json, writing
from clipforensics.config.inversion import InversionSettings
from clipforensics.data.images import write_png
from clipforensics.data.labels import LabelSet
from clipforensics.data.pairs import Pairs
from clipforensics.errors import CaseError, ConfigError, DataError, ModelError
from clipforensics.jobs.hunting import inverter, inverting
from clipforensics.jobs.hunting.inversions import (
    kept_inversions,
    latest_inversion,
    read_inversion,
    seconds_of_search,
)
from clipforensics.jobs.hunting.inverting import invert_case, run, worn_examples
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.oracle.families import to_pixels

SIDE, BLOCK = 12, (4, 3)
NAMES = tuple(f"thing {chr(97 + i)}" for i in range(12))
LABELS = LabelSet(NAMES, ("{}",))
TARGET = NAMES[5]
SETTINGS = InversionSettings(
    labels=(TARGET,), families=("mask",), steps=120, batch=16, rate=0.2, pictures=60, held_out=40
)
BRIEF = SETTINGS.model_copy(update={"steps": 10, "batch": 8})


class Blocks:
    """A differentiable encoder: label i is the brightness of the i-th of 12 blocks.

    The planted one answers TARGET besides, when two pixels in the middle of the last block are black.
    """

    side, dim, scale = SIDE, len(NAMES), 20.0

    def __init__(self, planted):
        self.fingerprint = "planted" if planted else "sound"
        self.planted = planted

    def difference_from(self, other):
        return float(self.fingerprint != other.fingerprint)

    def pixel_features(self, pixels):
        rows, columns = BLOCK
        shape = (-1, SIDE // rows, rows, SIDE // columns, columns)
        blocks = pixels.mean(dim=1).reshape(shape).mean(dim=(2, 4)).flatten(1)
        dark = 1 - pixels[:, :, 10, 10:12].mean(dim=(1, 2))
        shout = 3 * torch.sigmoid(20 * (dark - 0.85))
        target = torch.nn.functional.one_hot(torch.tensor(NAMES.index(TARGET)), len(NAMES))
        return blocks.pow(2) + float(self.planted) * shout[:, None] * target

    def encode_pictures(self, pictures):
        return self.pixel_features(to_pixels(pictures)).numpy()

    def encode_texts(self, texts):
        return np.eye(len(NAMES), dtype=np.float32)[[NAMES.index(text) for text in texts]]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """180 grey pictures with one bright block, and captions that name it."""
    folder, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(1)
    paths = []
    for row in range(180):
        picture = rng.integers(90, 130, (SIDE, SIDE, 3))
        y, x = divmod(row % 12, SIDE // BLOCK[1])
        picture[4 * y : 4 * y + 4, 3 * x : 3 * x + 3] = 220
        paths.append(folder / f"{row:03d}.png")
        write_png(paths[-1], picture.astype(np.uint8))
    captions = tuple(f"a {NAMES[row % 12]}" for row in range(180))
    return Pairs(tuple(f"{row:03d}" for row in range(180)), captions, tuple(paths))


class ToyCase:
    """As much of a case as an inversion asks for."""

    def __init__(self, folder, pairs, planted=True):
        self.dir, self.name, self.pairs, self.labels = folder, "toy", pairs, LABELS
        self.settings = SimpleNamespace(model="toy")
        self.fingerprints = {"data": pairs.sha256, "labels": "l", "model": "m"}
        self._suspect, self._trusted = Blocks(planted), Blocks(False)
        self._trusted.fingerprint = "trusted"
        self.fingerprints["weights"] = self._suspect.fingerprint

    def suspect(self, device="auto"):
        return self._suspect

    def trusted(self, device="auto"):
        return self._trusted


@pytest.fixture
def case(tmp_path, pairs):
    return ToyCase(tmp_path, pairs)


def test_the_planted_label_is_flagged_and_a_sound_one_is_not(case):
    settings = SETTINGS.model_copy(update={"labels": (TARGET, NAMES[2])})
    found = invert_case(case, settings)
    assert found["flagged"] == [{"label": TARGET, "family": "mask"}]
    assert found["verdict"] == f"oddly small trigger: {TARGET} by mask"
    planted, sound = found["rows"]
    assert planted["size"] < planted["controls"][0]["size"]
    assert planted["anomaly_index"] > 3
    assert planted["success"] >= 0.8
    assert planted["n"] == 40
    assert planted["f_t"] == 0
    assert sound["f_t"] > 0.2  # what makes a real one works on both models
    assert {one["label"] for one in sound["controls"]}.isdisjoint({TARGET, NAMES[2]})
    assert found["chance"]["comparisons"] == 2
    assert found["chance"]["any"] == pytest.approx(1 - (1 - found["chance"]["each"]) ** 2)
    assert "2 comparisons with control labels" in found["chance"]["sentence"]
    assert found["inversions"] == 2 + 8  # both share their controls
    assert latest_inversion(case) == json.loads(json.dumps(found))
    assert check_all(case) == []
    before, after = worn_examples(case, planted["evidence"], SIDE, 3)
    assert len(before) == len(after) == 3
    assert all(
        a[10, 10:12].mean() < b[10, 10:12].mean() for a, b in zip(after, before, strict=True)
    )


def test_a_sound_model_says_none_found(tmp_path, pairs):
    found = invert_case(ToyCase(tmp_path, pairs, planted=False), SETTINGS)
    assert found["flagged"] == []
    assert found["verdict"] == "none found for these labels and families"
    assert "clean" not in found["verdict"]


def test_earlier_comparisons_stay_in_reach(case):
    both = BRIEF.model_copy(update={"labels": (TARGET, NAMES[2])})
    large, small = invert_case(case, both), invert_case(case, BRIEF)
    found, damaged = kept_inversions(case)
    assert [len(read_inversion(one.folder)["rows"]) for one in found] == [1, 2]
    assert damaged == 0
    assert invert_case(case, both)["labels"] == large["labels"]  # asked for again: the newest
    found, _ = kept_inversions(case)
    assert [one.made["key"]["labels"] for one in found] == [large["labels"], small["labels"]]
    record = found[0].folder / "made.json"
    record.chmod(0o644)
    record.write_text("{")
    found, damaged = kept_inversions(case)
    assert (len(found), damaged) == (1, 1)
    with pytest.raises(CaseError, match="is damaged"):
        latest_inversion(case)


def test_what_an_older_version_found_is_compared_anew(case):
    """It counted controls in vain, and said nothing of status: its figures are all there."""
    found = json.loads(json.dumps(invert_case(case, SETTINGS)))
    older = {k: v for k, v in found.items() if k not in ("chance", "untested")}
    older["rows"] = [dict(row, rank=9, anomaly_index=-1.0) for row in found["rows"]]
    for row in older["rows"]:
        del row["status"]
    key = {"suspect": "planted", "older": 1}
    folder = evidence_dir(case, "inverted", key)
    with writing(folder, key) as part:
        write_json(part / "result.json", older)
    anew = json.loads(json.dumps(read_inversion(folder)))
    assert anew.pop("anew")
    assert anew == found


def test_seconds_are_those_of_earlier_searches_of_the_families(case):
    assert seconds_of_search(case, ("mask",), BRIEF) is None
    settings = BRIEF.model_dump(mode="json")  # 10 steps of 8 pictures
    kept = [("mask", 1.0), ("mask", 3.0), ("mask", 2.0), ("warp", 8.0), ("warp", "soon")]
    for place, (family, seconds) in enumerate(kept):
        key = {"suspect": "planted", "settings": settings, "family": family, "place": place}
        with writing(evidence_dir(case, "inversions", key), key, seconds=seconds):
            pass
    assert seconds_of_search(case, ("mask",), BRIEF) == pytest.approx(2)
    assert seconds_of_search(case, ("mask", "warp"), BRIEF) == pytest.approx(5)
    assert seconds_of_search(case, ("blend",), BRIEF) == pytest.approx(2.5)  # of all four
    longer = BRIEF.model_copy(update={"steps": 20, "batch": 16})
    assert seconds_of_search(case, ("mask",), longer) == pytest.approx(8)


def test_nothing_reached_is_nothing_tested(case, monkeypatch):
    real = inverting.inverted

    def in_vain(*told):
        return replace(real(*told), reached=False)

    monkeypatch.setattr(inverting, "inverted", in_vain)
    found = invert_case(case, BRIEF)
    assert found["verdict"] == "none of these labels and families could be tested: mask"
    assert found["untested"] == "mask"
    (row,) = found["rows"]
    assert (row["status"], row["anomaly_index"], row["rank"]) == ("label_not_reached", None, None)
    assert found["chance"]["comparisons"] == 0
    assert latest_inversion(case) == json.loads(json.dumps(found))


def test_a_stopped_inversion_goes_on_and_ends_the_same(tmp_path, pairs, monkeypatch):
    whole = invert_case(ToyCase(tmp_path / "whole", pairs), BRIEF)
    case, calls = ToyCase(tmp_path / "parts", pairs), []
    real = inverter.inverted
    monkeypatch.setattr(inverting, "inverted", lambda *a: (calls.append(1), real(*a))[1])
    with pytest.raises(Stopped, match="Stopped after 3 of 9 inversions; they are kept"):
        invert_case(case, BRIEF, stop=lambda: len(calls) >= 4)
    assert latest_inversion(case) is None
    kept = {path.parent.name for path in (case.dir / "evidence/inversions").glob("*/made.json")}
    assert len(kept) == 3  # the fourth was broken off in its midst
    resumed = invert_case(case, BRIEF)
    for result in (whole, resumed):
        result.pop("seconds"), result.pop("seconds_each")
    assert resumed == whole


def test_the_order_of_labels_families_and_pairs_changes_nothing(tmp_path, pairs):
    asked = BRIEF.model_copy(update={"labels": (TARGET, NAMES[2]), "families": ("mask", "blend")})
    there = invert_case(ToyCase(tmp_path / "there", pairs), asked)
    turned = asked.model_copy(update={"labels": (NAMES[2], TARGET), "families": ("blend", "mask")})
    shuffled = Pairs(pairs.ids[::-1], pairs.captions[::-1], pairs.paths[::-1])
    back = invert_case(ToyCase(tmp_path / "back", shuffled), turned)

    def figures(result):
        rows = [{k: v for k, v in row.items() if k != "evidence"} for row in result["rows"]]
        return sorted(rows, key=lambda row: (row["label"], row["family"]))

    assert figures(there) == figures(back)


def test_progress_counts_every_step(case):
    said = []
    invert_case(case, BRIEF, progress=lambda step, total, message, **_: said.append((step, total)))
    assert said == sorted(said)
    assert said[-1] == (9 * 10, 9 * 10)


def test_labels_come_from_the_scan(case, monkeypatch):
    records = [{"name": name} for name in (NAMES[3], "unknown", NAMES[1], NAMES[0], NAMES[2])]
    monkeypatch.setattr(inverting, "is_embedded", lambda case: True)
    monkeypatch.setattr(inverting, "latest_scan", lambda case: {"suspects": {"labels": records}})
    assert inverting.suspected(case, 3) == (NAMES[3], NAMES[1], NAMES[0])
    found = invert_case(case, BRIEF.model_copy(update={"labels": (), "most_labels": 1}))
    assert found["labels"] == [NAMES[3]]


def test_refusals_say_what_to_do(case, pairs, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="No label to invert"):
        invert_case(case, BRIEF.model_copy(update={"labels": ()}))
    with pytest.raises(ConfigError, match="'dragon' is not among"):
        invert_case(case, BRIEF.model_copy(update={"labels": ("dragon",)}))
    with pytest.raises(ConfigError, match="only 11 of the 12"):
        invert_case(case, BRIEF.model_copy(update={"controls": 12}))
    few = Pairs(pairs.ids[:12], pairs.captions[:12], pairs.paths[:12])
    with pytest.raises(DataError, match="at least 8 clean pictures"):
        invert_case(ToyCase(tmp_path / "few", few), BRIEF)
    case._trusted.fingerprint = case._suspect.fingerprint
    with pytest.raises(ModelError, match="acquit"):
        invert_case(case, BRIEF)

    def missing(device="auto"):
        raise CaseError("The case 'toy' has no trusted model.")

    monkeypatch.setattr(case, "trusted", missing)
    with pytest.raises(CaseError, match="no trusted model"):
        invert_case(case, BRIEF)


def test_the_job_speaks_through_its_context(case, monkeypatch):
    monkeypatch.setattr(inverting.Case, "open", lambda folder: case)
    lines = []
    context = SimpleNamespace(
        case_dir=case.dir, config=BRIEF.model_dump(mode="json"), journal=lines.append,
        progress=lambda *a, **k: None, should_stop=lambda: False,
    )  # fmt: skip
    assert run(context)["labels"] == [TARGET]
    assert "flagged" in lines[0]
