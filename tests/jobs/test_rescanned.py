"""A repaired case beside the one it came from: one map, the same pastes, both answers."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import check_all
from clipforensics.config.scan import ScanSettings
from clipforensics.errors import CaseError
from clipforensics.jobs.repairing import curating, lineage, rescanned, score_drop
from clipforensics.jobs.repairing.adopting import adopt
from clipforensics.jobs.scanning import scan
from clipforensics.models.clip import save_clip
from clipforensics.models.tiny import tiny_clip
from clipforensics.models.zero_shot import label_weights, predict
from clipforensics.oracle.pasting import Crop

SCAN = ScanSettings(detectors=("slof",))


@pytest.fixture(autouse=True)
def quick_maps(monkeypatch):
    monkeypatch.setattr(
        scan, "umap_2d", lambda x, *_: np.asarray(x[:, :2], np.float32)
    )  # UMAP compiles for ten seconds and adds nothing here
    monkeypatch.setattr(
        rescanned, "placed_on", lambda old, near, *_: old[near[1]].mean(axis=1).astype(np.float32)
    )


@pytest.fixture
def repaired(case, tmp_path):
    """The scanned case, and what `adopt` makes of a checkpoint of other weights."""
    scan.scan(case, SCAN)
    return case, adopted(case, tmp_path / "repaired", seed=5)


def adopted(case, folder, seed):
    checkpoint = folder.parent / f"final-{seed}.safetensors"
    save_clip(tiny_clip(seed), checkpoint)
    run = SimpleNamespace(id="r", config={"recipe": "eftclip"}, checkpoints=lambda: [checkpoint])
    made = adopt(case, run, checkpoint, folder)
    scan.scan(made, SCAN)
    return made


def found(pair="p007"):
    rng = np.random.default_rng(2)
    pixels, mask = rng.integers(0, 255, (8, 8, 3), np.uint8), np.ones((8, 8), bool)
    return SimpleNamespace(
        label="banana", pair=pair, box_xyxy=(4, 4, 12, 12), pixels=pixels, mask=mask,
        crop=Crop(pixels, mask, (4, 4)), figures=SimpleNamespace(status="verified"),
    )  # fmt: skip


@pytest.fixture
def hunted(monkeypatch):
    hunt = {"victims": ["p001", "p002"]}
    for module in (curating, rescanned):
        monkeypatch.setattr(module, "latest_hunt", lambda case: hunt)
    monkeypatch.setattr(curating, "trigger_bank", lambda case: [found()])


def test_a_repaired_case_knows_its_parent_and_the_parent_its_children(repaired):
    before, after = repaired
    assert lineage.parent_of(before) is None
    parent = lineage.parent_of(after)
    assert parent is not None
    assert parent.dir == before.dir
    assert [child.dir for child in rescanned.children_of(before)] == [after.dir]
    assert rescanned.children_of(after) == []


@pytest.mark.parametrize("what", ["data", "labels"])
def test_a_child_about_other_pairs_or_labels_is_not_compared(repaired, what):
    before, _ = repaired
    strange = replace(before, fingerprints={**before.fingerprints, what: "0"})
    assert len(rescanned.children_of(before)) == 1
    assert rescanned.children_of(strange) == []


def test_a_parent_that_is_gone_or_about_other_pairs_is_one_sentence(repaired):
    before, after = repaired
    strange = replace(before, fingerprints={**before.fingerprints, "data": "0"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Case, "open", classmethod(lambda cls, folder: strange))
        with pytest.raises(CaseError, match="about other data"):
            lineage.parent_of(after)
    shutil.move(before.dir, before.dir.parent / "elsewhere")
    with pytest.raises(CaseError):
        lineage.parent_of(after)


def test_the_map_before_stays_and_the_repaired_rows_are_placed_on_it(repaired):
    before, after = repaired
    old, new = rescanned.places(before, after)
    np.testing.assert_array_equal(old, scan.projection(before))
    assert new.shape == old.shape
    assert np.isfinite(new).all()
    near = scan.graph(after, scan.map_settings(before).n_neighbours)[1]
    np.testing.assert_allclose(new, old[near].mean(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(new, rescanned.places(before, after)[1])
    assert not check_all(after)


def test_neighbours_kept_equals_counting_them_one_by_one(repaired, tmp_path):
    before, after = repaired
    marked = {"picked": np.array([3, 5])}
    k = scan.map_settings(before).n_neighbours
    one, two = scan.graph(before, k)[1], scan.graph(after, k)[1]
    shares = [len(set(a) & set(b)) / k for a, b in zip(one, two, strict=True)]
    found = rescanned.neighbours_kept(before, after, marked)
    assert found["picked"] == {"share": pytest.approx((shares[3] + shares[5]) / 2), "n": 2, "k": k}
    others = [share for row, share in enumerate(shares) if row not in (3, 5)]
    assert found["all others"] == {
        "share": pytest.approx(np.mean(others)),
        "n": len(others),
        "k": k,
    }
    same = adopted(before, tmp_path / "same", seed=0)  # a repair that changed nothing
    assert rescanned.neighbours_kept(before, same, {})["all others"]["share"] == 1


def test_the_score_drop_is_the_fall_of_each_pair_s_own_cosine(repaired, tmp_path):
    before, after = repaired

    def cosine(case, row):
        suspect = case.suspect("cpu")
        (picture,) = suspect.encode_pictures(before.pairs.frames([row], 32))
        (text,) = suspect.encode_texts([before.pairs.captions[row]])
        return picture @ text / np.linalg.norm(picture) / np.linalg.norm(text)

    drop = score_drop.score_drop(before, after)
    for row in (0, 7):
        fell = cosine(before, row) - cosine(after, row)
        assert drop[row] == pytest.approx(fell, abs=1e-3)  # embeddings are kept as float16
    np.testing.assert_allclose(score_drop.score_drop(after, before), -drop)
    same = adopted(before, tmp_path / "same", seed=0)  # a repair that changed nothing
    assert not score_drop.score_drop(before, same).any()


def test_answers_are_those_that_both_models_give(repaired):
    before, after = repaired
    said = rescanned.answers(before, after, np.array([0, 9]))
    pictures = before.pairs.frames([0, 9], 32)
    for case, field in ((before, "before"), (after, "after")):
        suspect = case.suspect("cpu")
        best = predict(suspect, pictures, label_weights(suspect, case.labels))
        assert [getattr(one, field) for one in said] == [case.labels.names[i] for i in best]
    assert rescanned.answers(before, after, np.empty(0, np.int64)) == []


def test_known_poisons_are_called_right_by_their_own_caption():
    rows = (
        {"id": "a", "caption_before": "a cat"},
        {"id": "b", "caption_before": "two dogs, a dog"},
        {"id": "c"},
    )
    pairs, named = (
        SimpleNamespace(ids=("a", "b", "c", "d")),
        lambda text: [w for w in ("cat", "dog") if w in text],
    )
    case = SimpleNamespace(
        truth=SimpleNamespace(rows=rows), pairs=pairs, labels=SimpleNamespace(named_in=named)
    )
    said = [
        rescanned.Answer(row, before, 1.0, after, 1.0)
        for row, before, after in (
            (0, "banana", "cat"),
            (1, "dog", "banana"),
            (2, "cat", "cat"),
            (3, "cat", "cat"),
        )
    ]
    assert rescanned.called_right(case, said) == {"n": 2, "before": 1, "after": 1}
    assert rescanned.called_right(case, said[2:]) is None
    assert rescanned.captions_before(SimpleNamespace(truth=None)) == {}


def test_what_is_marked_is_picked_or_named_and_never_called_benign(repaired, hunted):
    before, _ = repaired
    before.store.decide("sample", "p005", "suspicious", "ann")
    before.store.decide("sample", "p002", "benign", "ann")
    marked = rescanned.marked_rows(before)
    assert {kind: rows.tolist() for kind, rows in marked.items()} == {
        "picked": [5], "named by the hunt": [1],
    }  # fmt: skip


def test_both_models_see_the_same_pastes(repaired, hunted, tmp_path):
    before, after = repaired
    (one,) = rescanned.paste_tests(before, after)
    assert (one["label"], one["pair"]) == ("banana", "p007")
    for when in ("before", "after"):
        assert set(one[when]) >= {"found", "random", "top_left"}
        for figures in one[when].values():
            if figures["rate"] is not None:
                assert figures["low"] <= figures["rate"] <= figures["high"]
    assert rescanned.paste_tests(before, after) == [one]
    same = adopted(before, tmp_path / "same", seed=0)
    (again,) = rescanned.paste_tests(before, same)
    assert again["before"] == again["after"]


def test_a_summary_is_plain_json(repaired, hunted):
    import json

    made = json.loads(json.dumps(rescanned.summary(*repaired)))
    assert made["marked"] == {"picked": 0, "named by the hunt": 2}
    assert len(made["answers"]) == 2
    assert set(made["neighbours_kept"]) == {"named by the hunt", "all others"}
    assert made["score_drop"]["n"] == len(repaired[0].pairs)


def test_nothing_is_pasted_on_a_picture_that_the_repair_learned_from(repaired, hunted, monkeypatch):
    before, after = repaired
    seen = []
    monkeypatch.setattr(
        rescanned, "_paste_all", lambda before, after, triggers, rows, *_: seen.append(rows) or []
    )
    rescanned.paste_tests(before, after)
    learned = [before.pairs.ids[row] for row in seen[0][:3]]
    folder = before.dir / "runs" / after.settings.repair_run
    folder.mkdir(parents=True)
    (folder / lineage.CURATED).write_text(json.dumps({"ids": learned}))
    assert lineage.learned_ids(after) == set(learned)
    rescanned.paste_tests(before, after)
    assert seen[1] == [row for row in seen[0] if before.pairs.ids[row] not in learned]


@pytest.mark.parametrize("content", ["no json", "[]", '{"ids": 3}', "{}"])
def test_a_damaged_list_of_learned_pairs_is_none(repaired, content):
    before, after = repaired
    folder = before.dir / "runs" / after.settings.repair_run
    folder.mkdir(parents=True)
    (folder / lineage.CURATED).write_text(content)
    assert lineage.learned_ids(after) == set()


def test_what_the_case_before_doubted_is_doubted_after(repaired, monkeypatch):
    before, after = repaired
    own = {before.dir: {"victims": ["p001", "p002"]}, after.dir: {"victims": ["p003"]}}
    monkeypatch.setattr(curating, "latest_hunt", lambda case: own[case.dir])
    before.store.decide("sample", "p004", "suspicious", "ann")
    after.store.decide("sample", "p002", "benign", "bob")
    assert curating.doubted_pairs(after) == ({"p004"}, {"p001", "p003"})
    assert curating.doubted_pairs(before) == ({"p004"}, {"p001", "p002"})
    shutil.move(before.dir, before.dir.parent / "elsewhere")
    assert curating.doubted_pairs(after) == (set(), {"p003"})


def test_cases_that_name_each_other_as_the_one_before_are_gone_round_once(repaired, monkeypatch):
    before, after = repaired
    ring = {before.dir: after, after.dir: before}
    monkeypatch.setattr(lineage, "parent_of", lambda case: ring[case.dir])
    assert [one.dir for one in lineage.ancestors(after)] == [before.dir]
    monkeypatch.setattr(lineage, "parent_of", lambda case: case)
    assert not list(lineage.ancestors(after))
