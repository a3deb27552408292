"""Reference sets: every row once per draw, the same again from the same seed, hostile input refused."""

import itertools

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.neighbors import LocalOutlierFactor

from clipforensics.config.detect import DETECTORS, DensitySettings, ReferenceSettings
from clipforensics.detect import density as density_module
from clipforensics.detect import isolation_forest, score
from clipforensics.detect.density import SCORES
from clipforensics.detect.draws import plan_for, sets_of
from clipforensics.detect.embeddings import content_words, find_copies
from clipforensics.detect.metrics import auroc
from clipforensics.detect.reference import score_each
from clipforensics.errors import ConfigError, DataError, RunError

CFG = DensitySettings(k=8)
SMALL = ReferenceSettings(reference_size=64, draws=3)
WHOLE = ReferenceSettings(reference_size="all")


@pytest.fixture(autouse=True)
def _small_forests(monkeypatch):
    monkeypatch.setattr("clipforensics.detect.forest.TREES", 8)


@pytest.mark.parametrize("name", DETECTORS)
def test_row_order_does_not_matter_within_a_set(name, rng):
    x, order = rng.normal(size=(120, 6)).astype(np.float32), rng.permutation(120)
    shuffled, plain = score(x[order], name, CFG, WHOLE), score(x, name, CFG, WHOLE)
    np.testing.assert_allclose(shuffled.mean, plain.mean[order], rtol=1e-12)
    np.testing.assert_allclose(shuffled.spread, plain.spread[order], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("name", DETECTORS)
def test_row_order_does_not_matter_between_sets(name, normalize, rng):
    x = rng.normal(size=(400, 6)).astype(np.float16)
    x[[5, 90, 91]] = x[7]  # copies
    x[200:260] = np.round(x[200:260])  # neighbours at equal distances
    x[200:260, 0] += 3
    cfg, order = SMALL.model_copy(update={"normalize": normalize}), rng.permutation(400)
    shuffled, plain = score(x[order], name, CFG, cfg), score(x, name, CFG, cfg)
    assert plain.info["sets_per_draw"] > 4
    np.testing.assert_allclose(shuffled.mean, plain.mean[order], rtol=1e-9)
    np.testing.assert_allclose(shuffled.spread, plain.spread[order], rtol=1e-9, atol=1e-12)


def test_row_order_does_not_matter_with_captions_in_the_reference(rng):
    x, captions = rng.normal(size=(2, 300, 6)).astype(np.float32)
    x[[5, 90]], order = x[7], rng.permutation(300)
    captions[40:60] = captions[40]
    asked = [("lof", CFG), ("iforest", CFG)]
    plain = score_each(x, asked, SMALL, captions=captions)
    shuffled = score_each(x[order], asked, SMALL, captions=captions[order])
    for one, other in zip(shuffled, plain, strict=True):
        np.testing.assert_allclose(one.mean, other.mean[order], rtol=1e-9)


def test_draws_differ_and_look_random(rng):
    x = np.arange(6000.0)[:, None] * np.ones((1, 4))
    copies = find_copies(x)
    plan = plan_for(copies, [("lof", CFG)], ReferenceSettings(reference_size=600))
    words = content_words(x, copies.first)
    orders = [np.concatenate([rows for rows, _ in sets_of(plan, words, *key)])
              for key in ((0, 0), (0, 1), (1, 0))]  # fmt: skip
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), copies.first)
        assert abs(spearmanr(order, np.arange(6000)).statistic) < 0.05
    for one, other in itertools.combinations(orders, 2):
        places = [np.argsort(order) for order in (one, other)]
        assert abs(spearmanr(*places).statistic) < 0.05
        counts = np.histogram2d(*(place // 600 for place in places), bins=10)[0]
        assert 30 < counts.min() <= counts.max() < 95  # 60 rows of a set meet again by chance


@pytest.mark.parametrize("name", SCORES)
def test_the_whole_set_as_reference_gives_the_score_itself(name, rng):
    x = rng.normal(size=(120, 6))
    whole = score(x, name, CFG, WHOLE)
    np.testing.assert_allclose(whole.mean, SCORES[name](x, CFG), rtol=1e-12)
    np.testing.assert_array_equal(whole.spread, 0)
    assert whole.info["draws"] == 1


def test_whole_set_lof_is_scikit_learns(rng):
    x = rng.normal(size=(500, 12)).astype(np.float32)
    theirs = -LocalOutlierFactor(n_neighbors=16).fit(x).negative_outlier_factor_
    ours = score(x, "lof", DensitySettings(k=16), WHOLE).mean
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_every_row_is_scored_exactly_once_per_draw(rng, monkeypatch):
    x = np.arange(1000.0)[:, None] + 0.1 * rng.random((1000, 1))
    seen = []

    def spy(part, cfg):
        seen.append(part[:, 0])
        return np.ones(len(part))

    monkeypatch.setitem(density_module.SCORES, "slof", spy)
    result = score(x, "slof", CFG, ReferenceSettings(reference_size=90, draws=4))
    values, counts = np.unique(np.concatenate(seen), return_counts=True)
    np.testing.assert_array_equal(values, np.sort(x[:, 0]))
    assert (counts == 4).all()
    sizes = {len(part) for part in seen}
    assert (len(seen), sizes) == (4 * 11, {90, 91})
    assert result.info["reference_size_true"] == [90, 91]


def test_draws_are_averaged_on_the_log_scale(rng, monkeypatch):
    x, told = rng.normal(size=(100, 3)), iter([1.0, 4.0, 1.0, 4.0] * 2)
    monkeypatch.setitem(
        density_module.SCORES, "slof", lambda part, _: np.full(len(part), next(told))
    )
    monkeypatch.setitem(
        density_module.SCORES, "dao", lambda part, _: np.full(len(part), next(told))
    )
    one_set = ReferenceSettings(reference_size=50, draws=2)
    by_log = {1.0: 0.0, 2.0: np.sqrt(2) * np.log(2), 4.0: 0.0}
    slof = score(x, "slof", CFG, one_set)
    assert set(np.round(slof.mean, 12)) == {1.0, 2.0, 4.0}
    for mean, spread in zip(slof.mean, slof.spread, strict=True):
        assert spread == pytest.approx(by_log[round(mean, 12)], abs=1e-12)
    assert set(score(x, "dao", CFG, one_set).mean) == {1.0, 2.5, 4.0}


@pytest.mark.parametrize("name", DETECTORS)
def test_equal_seeds_give_equal_scores_and_others_do_not(name, rng):
    x = rng.normal(size=(200, 5)).astype(np.float32)
    first, again = (score(x, name, CFG, SMALL) for _ in range(2))
    np.testing.assert_array_equal(first.mean, again.mean)
    np.testing.assert_array_equal(first.spread, again.spread)
    other = score(x, name, CFG, SMALL.model_copy(update={"seed": 1}))
    assert (first.mean != other.mean).any()
    assert (first.spread > 0).any()
    assert first.info["draw_seeds"] == [[0, 0], [0, 1], [0, 2]]


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("normalize", [False, True])
def test_file_and_array_and_precision_score_alike(name, normalize, rng, tmp_path):
    half = rng.normal(size=(200, 5)).astype(np.float16)
    cfg = SMALL.model_copy(update={"normalize": normalize})
    expected = score(half.astype(np.float32), name, CFG, cfg).mean
    for dtype in (np.float16, np.float32, np.float64):
        path = tmp_path / f"{np.dtype(dtype)}.npy"
        np.save(path, half.astype(dtype))
        for x in (half.astype(dtype), np.load(path, mmap_mode="r")):
            # normalized float64 rows keep digits that float32 has not
            np.testing.assert_allclose(
                score(x, name, CFG, cfg).mean, expected, rtol=2e-4, atol=2e-4
            )


@pytest.mark.parametrize("name", DETECTORS)
def test_normalized_scores_do_not_see_the_length(name, rng):
    x = rng.normal(size=(200, 5))
    cfg = SMALL.model_copy(update={"normalize": True})
    longer = x * 2.0 ** rng.integers(-9, 9, size=(200, 1))
    np.testing.assert_array_equal(score(x, name, CFG, cfg).mean, score(longer, name, CFG, cfg).mean)
    assert score(x, name, CFG, cfg).info["features"] == "normalized"
    assert (score(x, name, CFG, SMALL).mean != score(longer, name, CFG, SMALL).mean).any()


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("reference", [SMALL, WHOLE], ids=["sets", "all"])
def test_exact_copies_count_once_and_share_their_score(name, reference, rng):
    x = rng.normal(size=(200, 5))
    copied = np.vstack([x, np.repeat(x[7:8], CFG.k + 5, axis=0), x[9:10]])
    copied[7] = -0.0 + copied[7]
    alone, together = score(x, name, CFG, reference), score(copied, name, CFG, reference)
    np.testing.assert_array_equal(together.mean[:200], alone.mean)
    np.testing.assert_array_equal(together.mean[200:213], alone.mean[7])
    assert together.mean[213] == alone.mean[9]
    found = {key: together.info[key] for key in ("rows", "different_rows", "copied_rows")}
    assert found == {"rows": 214, "different_rows": 200, "copied_rows": 16}
    assert (together.info["copy_groups"], together.info["largest_copy_group"]) == (2, 14)


@pytest.mark.parametrize("name", ["lof", "slof", "dao", "kdist"])
def test_a_random_reference_finds_the_poison_that_the_whole_set_hides(name, planted_poison, rng):
    x, truth = planted_poison(rng)
    each = {"collapse": False}  # the poison's pictures are near-copies of each other
    sets = score(x, name, CFG, ReferenceSettings(reference_size=256, **each))
    whole = score(x, name, CFG, WHOLE.model_copy(update=each))
    assert auroc(sets.mean, truth) > 0.95
    assert auroc(whole.mean, truth) < auroc(sets.mean, truth)


@pytest.mark.parametrize("name", ["lof", "slof", "dao", "kdist", "iforest"])
def test_planted_outliers_outscore_the_crowds(name, planted_outliers, rng):
    x = planted_outliers(rng)
    found = score(x, name, CFG, ReferenceSettings(reference_size=50)).mean
    assert auroc(found, np.arange(100) >= 95) > 0.95


def test_an_isolation_forest_is_scikit_learns(rng, monkeypatch):
    from sklearn.ensemble import IsolationForest

    x = rng.normal(size=(300, 6)).astype(np.float32)
    in_order = sorted(x, key=bytes)  # so that theirs, too, sees the rows in one order
    theirs = IsolationForest(n_estimators=8, random_state=3).fit(in_order)
    np.testing.assert_allclose(isolation_forest(x, 3), -theirs.score_samples(x), rtol=1e-12)
    monkeypatch.setattr("clipforensics.detect.forest.TREES", 100)
    plain = IsolationForest(random_state=1).fit(x)  # another seed, the rows as they came
    found = score(x, "iforest", CFG, WHOLE.model_copy(update={"draws": 1})).mean
    assert spearmanr(found, -plain.score_samples(x)).statistic > 0.9


def test_progress_counts_every_set_and_stop_ends_the_work(rng):
    x, told = rng.normal(size=(200, 3)), []
    score(x, "slof", CFG, SMALL, progress=lambda done, total: told.append((done, total)))
    assert told == [(i, 9) for i in range(1, 10)]
    with pytest.raises(RunError, match="by lof was stopped after 2 of 9 reference sets"):
        score(x, "lof", CFG, SMALL, stop=iter([False, False, True]).__next__)


def _with(value, rows=100, at=17):
    x = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
    x[at] = value
    return x


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize(
    ("x", "kind", "complaint"),
    [
        (_with(np.nan), DataError, "1 of 100 embeddings contain NaN or infinity (first: row 17)."),
        (_with(np.inf), DataError, "1 of 100 embeddings contain NaN or infinity (first: row 17)."),
        (np.ones(5), DataError, "Embeddings must be a table of [rows, numbers], got shape [5]."),
        (np.ones((50, 4)), DataError, "All 50 embeddings are equal: nothing stands out."),
        (np.ones((0, 4)), DataError, "There are no embeddings: got 0 rows of 4 numbers."),
        (np.ones((9, 0)), DataError, "There are no embeddings: got 9 rows of 0 numbers."),
        (np.ones((9, 2), dtype=np.int64), DataError, "Embeddings must be float16, float32 or"),
        (np.full((9, 2), "x"), DataError, "Embeddings must be float16, float32 or"),
    ],
    ids=["nan", "inf", "one axis", "all equal", "no rows", "no columns", "integers", "words"],
)
def test_hostile_embeddings_are_refused_in_one_sentence(name, x, kind, complaint):
    with pytest.raises(kind) as refused:
        score(x, name, DensitySettings(), ReferenceSettings())
    assert str(refused.value).startswith(complaint)


def test_zero_vectors_matter_only_when_normalizing():
    x = _with(0.0)
    assert np.isfinite(score(x, "slof", CFG, SMALL).mean).all()
    with pytest.raises(DataError, match=r"1 of 100 embeddings are zero .*first: row 17"):
        score(x, "slof", CFG, SMALL.model_copy(update={"normalize": True}))


@pytest.mark.parametrize(
    ("x", "size", "complaint"),
    [
        (_with(1, 10, 0), 2048, "k=16 needs at least 17 embeddings, got 10. Lower k to 9 or less."),
        (_with(1, 1, 0), 2048, "k=16 needs at least 17 embeddings, got 1. Add embeddings."),
        (
            _with(1, 100),
            10,
            "k=16 needs reference sets of at least 17 embeddings, these hold 10. "
            "Lower k to 9 or less, or raise the reference size.",
        ),
        (
            np.repeat(_with(1, 10, 0), 5, axis=0),
            "all",
            "k=16 needs at least 17 different embeddings, got 10 among 50 rows. "
            "Lower k to 9 or less.",
        ),
    ],
    ids=["few rows", "one row", "small sets", "copies"],
)
def test_too_large_a_k_is_refused_with_its_cure(x, size, complaint):
    with pytest.raises(ConfigError) as refused:
        score(x, "slof", DensitySettings(), ReferenceSettings(reference_size=size))
    assert str(refused.value) == complaint


def test_an_unknown_detector_is_refused_with_the_known_ones(rng):
    with pytest.raises(ConfigError, match="Unknown detector 'loff'; known are lof, slof"):
        score(rng.normal(size=(50, 3)), "loff", CFG, SMALL)


def test_a_forest_needs_two_rows(rng):
    with pytest.raises(DataError, match="at least 2 embeddings, got 1"):
        score(rng.normal(size=(1, 3)), "iforest", CFG, SMALL)
    assert isolation_forest(rng.normal(size=(2, 3)), seed=0).shape == (2,)


def test_a_forest_survives_numbers_beyond_single_precision(rng):
    x = rng.normal(size=(64, 3))
    huge = isolation_forest(np.ldexp(x, 600), seed=0)
    np.testing.assert_array_equal(huge, isolation_forest(x, seed=0))


@pytest.mark.parametrize("size", ["all", 20])
def test_a_row_without_a_score_is_named_by_its_place_in_the_table(rng, size):
    equal, sets = np.eye(100), ReferenceSettings(reference_size=size, draws=1)  # LID nowhere
    rows = []
    for order in (np.arange(100), rng.permutation(100)):
        with pytest.raises(DataError, match=r"of \d+ in a reference set's embeddings") as said:
            score(equal[order], "lid", CFG, sets)
        rows.append(order[int(str(said.value).split("row ")[1].split(")")[0])])
    assert rows[0] == rows[1]  # the same, wherever it stands


def test_a_lid_of_0_is_the_least_score_and_not_none(rng):
    x = rng.normal(size=(60, 4))
    x[:2] = [[1e-170] * 4, [2e-170] * 4]  # different rows, at a distance that vanishes when squared
    found = score(x, "lid", CFG, ReferenceSettings(reference_size=30, draws=8))
    assert np.isfinite(found.mean).all()
    assert np.isfinite(found.spread).all()
    assert found.spread[0] > 1  # in some draws they met, in others not
    assert set(np.argsort(score(x, "lid", CFG, WHOLE).mean)[:2]) == {0, 1}
