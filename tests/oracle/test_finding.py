"""Algorithm 1 on lists worked out by hand, and on pictures where the answer is known."""

import numpy as np
import pytest

from clipforensics.config.oracle import OracleSettings, SegmenterSettings
from clipforensics.errors import ConfigError, ModelError
from clipforensics.oracle.finding import compare, find_triggers, to_test
from clipforensics.oracle.regions import Region, box_mask, holds, whole
from clipforensics.oracle.scorer import Oracle, make_oracle, same_labels, suspect_judge
from clipforensics.oracle.segmenter import regions_from

NAMES = ("dog", "banana", "grass", "car")


def regions(n):
    boxes = [(4 * i, 0, 4 * i + 3, 3) for i in range(n)]
    parts = [Region(b, box_mask(b, 32, 32), 0.9, 0.9, "sam") for b in boxes]
    return [*parts, whole(32, 32)]


def rows(*answers):
    """One row of probabilities per answer: .9 for it, the rest shared."""
    out = np.full((len(answers), 4), 0.1 / 3)
    for row, name in zip(out, answers, strict=True):
        row[NAMES.index(name)] = 0.9
    return out


WHOLE = np.array([[0.40, 0.35, 0.20, 0.05]])  # L = dog, banana, grass
SEES = np.array(
    [[0.9, 0.0, 0.1, 0.0], [0.1, 0.05, 0.8, 0.0], [0.5, 0.02, 0.4, 0.0]]
)  # S = dog, grass


def test_one_candidate_where_a_region_alone_says_what_nobody_sees():
    found = compare(
        np.concatenate([rows("dog", "banana"), WHOLE]), SEES, regions(2), NAMES, OracleSettings()
    )
    assert [name for name, _ in found.said] == ["dog", "banana", "grass"]
    assert [name for name, _ in found.seen] == ["dog", "grass"]
    assert [name for name, _ in found.suspicious] == ["banana"]
    assert [(c.label, c.region) for c in found.candidates] == [("banana", 1)]


def test_no_candidate_when_no_region_says_it():
    found = compare(
        np.concatenate([rows("dog", "grass"), WHOLE]), SEES, regions(2), NAMES, OracleSettings()
    )
    assert [name for name, _ in found.suspicious] == ["banana"]
    assert found.candidates == ()


@pytest.mark.parametrize("theta", [0.66, 0.5])
@pytest.mark.parametrize(("trace", "is_candidate"), [(0.49, True), (0.51, False), (0.9, False)])
def test_a_region_with_a_trace_of_the_label_is_no_candidate(theta, trace, is_candidate):
    """Half of what counts as seen is a trace; the label stays suspicious all the same."""
    sees = SEES.copy()
    sees[1, NAMES.index("banana")] = trace * theta
    suspect = np.concatenate([rows("dog", "banana"), WHOLE])
    found = compare(suspect, sees, regions(2), NAMES, OracleSettings(theta=theta))
    assert [name for name, _ in found.suspicious] == ["banana"]
    assert bool(found.candidates) == is_candidate


def test_presence_ignores_the_list_length():
    suspect = np.concatenate([rows("dog", "banana"), WHOLE])
    for tau in (1, 2, 3, 4):
        found = compare(suspect, SEES, regions(2), NAMES, OracleSettings(tau=tau))
        assert {n for n, _ in found.seen} <= {"dog", "grass"}
        assert len(found.said) == tau


def test_candidates_only_grow_with_tau_and_theta(rng):
    suspect, sees = rng.dirichlet([0.3] * 4, 9), rng.dirichlet([0.3] * 4, 9) * 0.9
    for fixed, name, values in (
        ({"theta": 0.66}, "tau", (1, 2, 3, 4)),
        ({"tau": 3}, "theta", (0.3, 0.5, 0.66, 0.8, 0.9)),
    ):
        before: set = set()
        for value in values:
            settings = OracleSettings(**fixed, **{name: value})
            found = compare(suspect, sees, regions(8), NAMES, settings)
            now = {(c.label, c.region) for c in found.candidates}
            assert before <= now
            before = now


def test_three_distinct_boxes_per_label_are_tested():
    many = rows(*["banana"] * 6)
    sees = np.tile(SEES[2:], (7, 1))
    found = compare(np.concatenate([many, WHOLE]), sees, regions(6), NAMES, OracleSettings())
    assert len(found.candidates) == 6
    assert len(to_test(found.candidates, 3)) == 3
    assert len(to_test(found.candidates * 2, 10)) == 6


@pytest.fixture
def bench(toy):
    suspect = suspect_judge(toy.ToyClip(True, "suspect"), toy.LABELS)
    oracle = make_oracle(
        toy.TrueMasks(),
        toy.ToyClip(False, "trusted"),
        toy.LABELS,
        OracleSettings(),
        toy.ToyClip(True, "suspect"),
    )
    return suspect, oracle


@pytest.mark.parametrize("seed", range(6))
def test_the_stamped_region_is_the_candidate(toy, bench, seed):
    picture, _, box = toy.scene("leaf", np.random.default_rng(seed), stamped=True)
    found = find_triggers(picture, *bench)
    assert found.said[0][0] == "banana"
    assert found.seen[0][0] == "leaf"
    best = found.candidates[0]
    assert best.label == "banana"
    assert holds(best.box_xyxy, box)
    assert best.removal_drop is not None
    assert best.removal_drop > 0.5
    assert found.regions[-1].source == "whole"


def test_a_clean_picture_has_no_candidate(toy, bench, rng):
    for name in toy.NAMES:
        picture, _, _ = toy.scene(name, rng)
        assert find_triggers(picture, *bench).candidates == ()


def test_a_clean_model_has_no_candidate(toy, bench, rng):
    clean = suspect_judge(toy.ToyClip(False, "clean"), toy.LABELS)
    picture, _, _ = toy.scene("leaf", rng, stamped=True)
    assert find_triggers(picture, clean, bench[1]).candidates == ()


def test_a_picture_that_shows_the_label_has_no_candidate(toy, bench, rng):
    picture, _, _ = toy.scene("banana", rng, stamped=True)
    found = find_triggers(picture, *bench)
    assert "banana" in [name for name, _ in found.seen]
    assert found.candidates == ()


def test_no_masks_leave_the_whole_picture_and_no_error(toy, bench, rng):
    oracle = Oracle(toy.NoMasks(), bench[1].trusted, bench[1].same)
    picture, _, _ = toy.scene("leaf", rng, stamped=True)
    found = find_triggers(picture, bench[0], oracle)
    assert [r.source for r in found.regions] == ["whole"]
    assert found.candidates == ()


def test_one_mask_over_everything_is_the_whole_picture_and_no_candidate(toy, bench, rng):
    class OneMask(toy.NoMasks):
        def segment(self, picture):
            masks = np.ones((1, *picture.shape[:2]), bool)
            return regions_from(masks, np.ones(1), np.ones(1), SegmenterSettings())

    oracle = Oracle(OneMask(), bench[1].trusted, bench[1].same)
    picture, _, _ = toy.scene("leaf", rng, stamped=True)
    found = find_triggers(picture, bench[0], oracle)
    assert [r.source for r in found.regions] == ["whole"]
    assert found.candidates == ()


def test_the_suspect_may_not_score_itself(toy):
    twin = toy.ToyClip(True, "same weights")
    with pytest.raises(ModelError, match="is the suspect itself"):
        make_oracle(toy.TrueMasks(), twin, toy.LABELS, OracleSettings(), twin)


def test_a_background_text_may_not_be_a_label(toy):
    settings = OracleSettings(background_texts=("Snow",))
    with pytest.raises(ConfigError, match="'Snow' is also a label"):
        make_oracle(
            toy.TrueMasks(), toy.ToyClip(False, "t"), toy.LABELS, settings, toy.ToyClip(True, "s")
        )


def test_a_region_that_shows_no_label_is_left_to_the_background_texts(toy, bench):
    """Grey ground alone: of seven labels none is likelier than chance, and nothing must be seen."""
    ground = np.full((toy.SIDE, toy.SIDE, 3), 110, np.uint8)
    places = [whole(toy.SIDE, toy.SIDE)]
    encoders = toy.ToyClip(False, "trusted"), toy.ToyClip(True, "suspect")
    for texts, left in ((("a wall",), 0.0), (("a wall", "sand", "paper"), 0.0), ((), 1.0)):
        asked = OracleSettings(background_texts=texts)
        oracle = make_oracle(toy.TrueMasks(), encoders[0], toy.LABELS, asked, encoders[1])
        p = oracle.seen(ground, places)
        assert p.shape == (1, len(toy.NAMES))
        assert p.sum() == pytest.approx(left, abs=1e-6)
        assert oracle.trusted.weights.shape[0] == len(toy.NAMES) + len(texts)
    assert bench[1].seen(ground, places).max() < 0.01


def test_labels_with_nearly_the_same_text_share_one_probability(toy, bench, rng):
    same = np.eye(len(toy.NAMES), dtype=bool)
    leaf, sea = toy.NAMES.index("leaf"), toy.NAMES.index("sea")
    same[leaf, sea] = same[sea, leaf] = True
    oracle = Oracle(toy.TrueMasks(), bench[1].trusted, same)
    picture, _, _ = toy.scene("leaf", rng)
    p = oracle.seen(picture, [whole(toy.SIDE, toy.SIDE)])
    assert p[0, leaf] == pytest.approx(p[0, sea])
    assert same_labels(np.eye(3, dtype=np.float32), 0.9).tolist() == np.eye(3, dtype=bool).tolist()


def test_presence_ignores_the_other_labels_of_the_list(toy, bench, rng):
    picture, _, _ = toy.scene("cherry", rng, stamped=True)
    seen = [
        dict(find_triggers(picture, *bench, OracleSettings(tau=tau)).seen).get("cherry")
        for tau in (2, 4, 7)
    ]
    assert seen[0] == seen[1] == seen[2]
