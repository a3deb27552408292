"""Inverted triggers: what each family does, what is compared with what, and when a flag is raised."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipforensics.config.inversion import FAMILY_NAMES, InversionSettings
from clipforensics.data.labels import LabelSet
from clipforensics.errors import ConfigError, ModelError
from clipforensics.models.tiny import tiny_clip
from clipforensics.oracle.anomaly import Inverted, by_chance, compared, control_labels, untested
from clipforensics.oracle.competence import Recall
from clipforensics.oracle.families import FAMILIES, to_pixels, worn
from clipforensics.oracle.inversion import _run_of, generator_of, invert, measured
from clipforensics.oracle.pasting import CleanSet
from clipforensics.oracle.scorer import suspect_judge

LABELS = LabelSet(("cherry", "leaf", "sea"), ("{}",))
SHORT = InversionSettings(steps=150, batch=16, rate=0.2)


class Colours:
    """A differentiable encoder of 8-px pictures: mean colour, and a planted dark corner says sea."""

    side, dim, scale, fingerprint = 8, 3, 20.0, "colours"

    def __init__(self, planted=True):
        self.planted = planted

    def difference_from(self, other):
        return float(self.fingerprint != other.fingerprint)

    def pixel_features(self, pixels):
        mean = pixels.mean(dim=(2, 3))
        corner = 1 - pixels[:, :, :2, :2].mean(dim=(1, 2, 3))
        shout = 3 * torch.sigmoid(12 * (corner - 0.75))[:, None] * torch.tensor([0.0, 0.0, 1.0])
        return mean + shout * float(self.planted)

    def encode_pictures(self, pictures):
        return self.pixel_features(to_pixels(pictures)).numpy()

    def encode_texts(self, texts):
        return np.eye(3, dtype=np.float32)[[LABELS.index(text) for text in texts]]


@pytest.fixture
def reddish(rng):
    """Sixty noisy pictures that are mostly red."""
    ground = np.array([210, 90, 90])
    noise = rng.integers(-15, 15, (60, 8, 8, 3))
    return (ground + noise).astype(np.uint8)


def drawn(name, side=8, seed=0):
    """Values of a family away from where its search begins."""
    family = FAMILIES[name]
    generator = torch.Generator().manual_seed(seed)
    free = [one * 5 for one in family.start(side, generator)]
    return family, {key: one.numpy() for key, one in family.values(free).items()}


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_strength_nought_changes_nothing_and_full_strength_does(name, reddish):
    family, values = drawn(name)
    assert (worn(family, values, reddish, 0.0) == reddish).all()
    assert (worn(family, values, reddish) != reddish).any()
    assert worn(family, values, reddish[:0]).shape == (0, 8, 8, 3)


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_size_and_change_follow_strength_and_have_slopes(name, reddish):
    family, values = drawn(name)
    far = [
        np.abs(worn(family, values, reddish, share).astype(int) - reddish).mean()
        for share in (0.0, 0.5, 1.0)
    ]
    assert far[0] < far[1] < far[2]
    free = [one.requires_grad_(True) for one in family.start(8, torch.Generator().manual_seed(1))]
    size = family.size(family.values(free), 8)
    assert size > 0
    pixels = family.change(family.values(free), to_pixels(reddish), 1.0).square().sum()
    for slope in torch.autograd.grad(size + pixels, free):
        assert slope.isfinite().all()
        assert slope.abs().sum() > 0


def test_sizes_by_hand():
    def size(name, **values):
        return float(FAMILIES[name].size({k: torch.tensor(v) for k, v in values.items()}, 8))

    assert size("mask", mask=[[[0.25] * 8] * 8]) == pytest.approx(16)
    assert size("blend", opacity=[0.125]) == pytest.approx(0.125)
    shift = [[0.0, 0, 0, 3], [0, 4, 0, 0], [0, 0, 0, 0]]
    assert size("colour", shift=shift) == pytest.approx(5)
    flow = [[[0.3] * 4] * 4, [[0.4] * 4] * 4]
    assert size("warp", flow_px=flow) == pytest.approx(0.5)


def test_a_warp_of_one_pixel_moves_the_picture_by_one(rng):
    picture = rng.integers(0, 255, (1, 8, 8, 3), np.uint8)
    flow = np.zeros((2, 4, 4), np.float32)
    flow[0] = 1.0
    moved = worn(FAMILIES["warp"], {"flow_px": flow}, picture)
    np.testing.assert_allclose(moved[:, :, :-1].astype(int), picture[:, :, 1:], atol=1)
    assert (moved[:, :, -1] == picture[:, :, -1]).all()


def test_a_colour_map_is_what_it_says(reddish):
    shift = np.zeros((3, 4), np.float32)
    shift[0] = [-1, 0, 1, 0]  # red becomes blue
    shift[1, 3] = -10 / 255  # green loses ten levels
    out = worn(FAMILIES["colour"], {"shift": shift}, reddish).astype(int)
    np.testing.assert_allclose(out[..., 0], reddish[..., 2], atol=1)
    np.testing.assert_allclose(out[..., 1], reddish[..., 1].astype(int) - 10, atol=1)


def test_the_planted_corner_is_inverted_smaller_than_a_control(reddish):
    suspect = suspect_judge(Colours(), LABELS)
    family = FAMILIES["mask"]
    sizes = {}
    for name in ("leaf", "sea"):
        change = invert(
            reddish[:40], LABELS.index(name), suspect, family, SHORT, generator_of(0, name, "mask")
        )
        assert change.reached
        sizes[name] = change.size
        clean = CleanSet(reddish[40:], (frozenset(),) * 20, np.zeros(20, int), np.zeros(20, int))
        trusted = suspect_judge(Colours(planted=False), LABELS)
        found = measured(change, name, family, clean, suspect, trusted)
        assert found.n == 20
        assert found.success >= 0.75
        # the trigger works on one model, what makes a real leaf works on both
        assert (found.f_t > 0.5) == (name == "leaf")
    assert sizes["sea"] < sizes["leaf"] / 2


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_the_same_generator_gives_the_same_change(name, reddish):
    suspect = suspect_judge(Colours(), LABELS)
    settings = SHORT.model_copy(update={"steps": 10})

    def once():
        return invert(reddish, 2, suspect, FAMILIES[name], settings, generator_of(0, "sea", name))

    first, second = once(), once()
    assert first.size == second.size
    assert all((second.values[key] == one).all() for key, one in first.values.items())


def test_every_label_and_family_has_random_numbers_of_its_own():
    drawn_ = {
        (label, family): float(torch.rand(1, generator=generator_of(0, label, family)))
        for label in ("a", "b", "a\0b") for family in ("mask", "blend")
    }  # fmt: skip
    assert len(set(drawn_.values())) == 6


def test_a_search_leaves_the_model_as_it_was(reddish):
    encoder = tiny_clip()
    judge = suspect_judge(encoder, LABELS)
    before = {name: one.clone() for name, one in encoder.module.state_dict().items()}
    pictures = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), np.uint8)
    settings = SHORT.model_copy(update={"steps": 10})
    change = invert(pictures, 0, judge, FAMILIES["blend"], settings, generator_of(0, "x", "blend"))
    assert change.size > 0
    assert all((encoder.module.state_dict()[name] == one).all() for name, one in before.items())
    assert all(one.grad is None and one.requires_grad for one in encoder.module.parameters())


def test_pixel_features_equal_those_of_stored_pictures():
    encoder = tiny_clip()
    pictures = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), np.uint8)
    with torch.inference_mode():
        found = encoder.pixel_features(to_pixels(pictures)).numpy()
    np.testing.assert_allclose(found, encoder.encode_pictures(pictures), atol=1e-4)


def test_a_suspect_without_gradients_is_refused(toy, reddish):
    suspect = suspect_judge(toy.ToyClip(True, "s"), toy.LABELS)
    with pytest.raises(ModelError, match="gives gradients"):
        invert(reddish, 0, suspect, FAMILIES["mask"], SHORT, generator_of(0, "a", "mask"))


def test_runs_of_successes_and_failures():
    run, seen = 0, []
    for good in (True, True, False, False, False, True):
        run = _run_of(run, good)
        seen.append(run)
    assert seen == [1, 2, -1, -2, -3, 1]


def figures(label, size, **more):
    found = Inverted(label, "mask", size, "px", True, 0.95, (0.92, 0.97), 256, 0.01)
    return replace(found, **more)


CONTROLS = [figures(f"c{i}", size) for i, size in enumerate((10, 20, 40, 80, 160))]


def test_the_anomaly_index_of_a_doubling_series():
    # median ln 40, deviations ln 2 and twice ln 2: (ln 40 - ln 5) / (1.4826 ln 2) = 3 / 1.4826
    found = compared(figures("y", 5), CONTROLS, InversionSettings())
    assert found.anomaly_index == pytest.approx(3 / 1.4826)
    assert found.rank == 1
    assert not found.flagged  # 2.02 is not above 3
    assert compared(figures("y", 1), CONTROLS, InversionSettings()).flagged


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, []),
        ({"success": 0.79}, ["held_out"]),
        ({"f_t": 0.21}, ["trusted"]),
        ({"reached": False}, ["reached", "anomaly_index", "rank"]),
        ({"size": 40}, ["anomaly_index", "rank"]),
        ({"size": 10}, ["anomaly_index", "rank"]),  # a tie is not the first rank
    ],
)
def test_every_condition_is_needed(changes, failed):
    found = compared(replace(figures("y", 1), **changes), CONTROLS, InversionSettings())
    assert [name for name, holds in found.checks.items() if not holds] == failed
    assert found.flagged == (not failed)


@pytest.mark.parametrize(
    ("own", "reached", "status"),
    [
        (True, 8, "compared"),
        (True, 4, "compared"),
        (True, 3, "controls_not_reached"),
        (True, 0, "controls_not_reached"),
        (False, 8, "label_not_reached"),
        (False, 0, "label_not_reached"),
    ],
)
def test_sizes_are_compared_only_where_they_were_reached(own, reached, status):
    controls = [figures(f"c{i}", 10 + i, reached=i < reached) for i in range(8)]
    found = compared(figures("y", 1, reached=own), controls, InversionSettings())
    assert (found.status, found.reached) == (status, reached)
    assert found.flagged == (status == "compared")
    assert (found.anomaly_index is None) == (found.rank is None) == (status != "compared")


def test_a_label_that_the_trusted_model_does_not_know_is_not_judged():
    knows, ignorant = Recall(45, 60, of_label=True), Recall(20, 60, of_label=True)
    assert compared(figures("y", 1), CONTROLS, InversionSettings(), knows).flagged
    found = compared(figures("y", 1), CONTROLS, InversionSettings(), ignorant)
    assert (found.status, found.flagged) == ("not_judged", False)
    assert found.anomaly_index is found.rank is None
    assert untested([found]) == "mask"
    assert compared(figures("y", 1), CONTROLS, InversionSettings(label_recall=0), ignorant).flagged


def test_what_was_tried_in_vain_is_no_size():
    # the unreached ones tried less than the label takes, or more: neither changes anything
    for tried in (0.01, 1000):
        vain = [figures(f"v{i}", tried, reached=False) for i in range(5)]
        found = compared(figures("y", 5), CONTROLS + vain, InversionSettings())
        assert found.anomaly_index == pytest.approx(3 / 1.4826)
        assert found.rank == 1
        assert [one.reached for one in found.controls] == [True] * 5 + [False] * 5


def test_families_that_could_not_be_tested_are_named():
    settings = InversionSettings()
    vain = [figures(f"v{i}", 1, reached=False, family="warp") for i in range(8)]
    warps = [compared(figures(y, 1, family="warp"), vain, settings) for y in "ab"]
    masks = [compared(figures(y, 1, reached=y == "a"), CONTROLS, settings) for y in "ab"]
    assert untested([*warps, *masks]) == "warp; mask for b"
    assert untested(masks[:1]) == ""
    told = by_chance([*warps, *masks], settings)
    assert told["comparisons"] == 1
    assert told == by_chance(masks[:1], settings)
    assert by_chance(warps, settings)["any"] == 0
    assert by_chance(warps, settings)["sentence"].startswith("No size could be compared")


def test_the_order_of_controls_changes_nothing():
    there = compared(figures("y", 3), CONTROLS, InversionSettings())
    back = compared(figures("y", 3), CONTROLS[::-1], InversionSettings())
    assert there == back


def test_equal_controls_flag_only_what_is_clearly_smaller():
    same = [figures(f"c{i}", 30) for i in range(8)]
    far = compared(figures("y", 1), same, InversionSettings())
    near = compared(figures("y", 29), same, InversionSettings())
    assert (far.anomaly_index, far.flagged) == (pytest.approx(68.02, abs=0.01), True)  # ln 30 / .05
    assert (near.anomaly_index, near.flagged) == (pytest.approx(0.678, abs=0.001), False)


def test_what_chance_flags_grows_with_comparisons_and_falls_with_controls():
    settings = InversionSettings()
    eight = [figures(f"c{i}", 10 + i) for i in range(8)]
    one = compared(figures("y", 5), eight, settings)
    alone, twelve = by_chance([one], settings), by_chance([one] * 12, settings)
    assert alone["any"] == pytest.approx(alone["each"])
    assert alone["each"] == twelve["each"] == pytest.approx(0.026, abs=5e-4)
    assert twelve["any"] == pytest.approx(1 - (1 - alone["each"]) ** 12)
    assert twelve["comparisons"] == 12
    assert "12 comparisons with" in twelve["sentence"]
    assert "about 27 % of such runs" in twelve["sentence"]
    assert "1 comparison with" in alone["sentence"]
    assert "about 2.6 % of such runs" in alone["sentence"]
    more = compared(figures("y", 5), eight + eight, settings)
    assert by_chance([more] * 12, settings)["any"] < twelve["any"] / 2
    assert by_chance([], settings)["any"] == 0


def test_shared_controls_make_a_flag_by_chance_rarer_than_told():
    # three labels, one family: given their controls they are independent, so Jensen bounds them
    rng, settings, hits = np.random.default_rng(3), InversionSettings(), 0
    for logs in rng.normal(0, 1, (4000, 11)):
        sizes = np.exp(logs)
        shared = [figures(f"c{i}", size) for i, size in enumerate(sizes[:8])]
        found = [compared(figures("y", size), shared, settings) for size in sizes[8:]]
        hits += any(one.flagged for one in found)
    told = by_chance(found, settings)["any"]
    assert 0.04 < hits / 4000 < told < 0.08


@given(
    counts=st.lists(st.integers(0, 5000), min_size=11, max_size=40),
    asked=st.sets(st.integers(0, 10), min_size=1, max_size=3),
    seed=st.integers(0, 3),
)
def test_controls_are_others_whatever_the_order(counts, asked, seed):
    frequency = {f"label {i}": count for i, count in enumerate(counts)}
    names = [f"label {i}" for i in sorted(asked)]
    found = control_labels(names, frequency, 8, seed)
    assert set(found) == set(names)
    for controls in found.values():
        assert len(set(controls)) == 8
        assert not set(controls) & set(names)
    back = control_labels(names[::-1], dict(reversed(frequency.items())), 8, seed)
    assert back == found


def test_controls_have_similar_frequencies():
    frequency = {f"rare {i}": 10 + i % 2 for i in range(10)}
    frequency |= {f"common {i}": 1000 + 10 * i for i in range(10)}
    found = control_labels(["rare 0", "common 0"], frequency, 8, seed=0)
    assert all(name.startswith("rare") for name in found["rare 0"])
    assert all(name.startswith("common") for name in found["common 0"])


def test_too_few_or_unknown_labels_are_refused():
    frequency = {f"l{i}": 1 for i in range(9)}
    assert len(control_labels(["l0"], frequency, 8, 0)["l0"]) == 8
    with pytest.raises(ConfigError, match="only 7 of the 9"):
        control_labels(["l0", "l1"], frequency, 8, 0)
    with pytest.raises(ConfigError, match="'dragon' is not among"):
        control_labels(["dragon"], frequency, 8, 0)
