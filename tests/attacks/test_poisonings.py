"""Every attack as a poisoning: rows, captions, manifest, replay, whatever the row order."""

import json
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from clipforensics.attacks.manifest import Manifest
from clipforensics.attacks.plan import plan_poison, table_order, unused_target
from clipforensics.attacks.poison import poison
from clipforensics.attacks.source import FileSource
from clipforensics.attacks.stamping import hash_of_pixels
from clipforensics.config.attack import (
    ATTACKS,
    CleanLabelSettings,
    MultiTargetSettings,
    PoisonSettings,
    SingleTargetSettings,
    TargetedSettings,
    attack_settings,
)
from clipforensics.config.settings import parse
from clipforensics.data.demo_world import DemoWorld, labels
from clipforensics.data.labels import LabelSet
from clipforensics.data.pairs import Pairs
from clipforensics.data.tables import read_pairs
from clipforensics.errors import ConfigError, DataError

WORLD = DemoWorld(2, n_pairs=120, n_test=40)
THREE = ("banana", "dog", "owl")


def asked(kind: str, rate: float = 0.1, **values) -> PoisonSettings:
    attack = TargetedSettings(n_targets=2) if kind == "tdpa" else ATTACKS[kind]()
    more = THREE[1:] if kind == "mt_m" else ()
    return PoisonSettings(attack=attack, rate=rate, more_targets=more, seed=4, **values)


@cache
def drawn(row: int) -> np.ndarray:
    return WORLD.picture(row)


@pytest.fixture(scope="module", params=ATTACKS)
def made(request, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("poisoned") / request.param
    poison(WORLD, labels(), asked(request.param), out, workers=1)
    return out


def test_the_manifest_comes_back_and_every_row_replays(made):
    manifest, pairs = Manifest.read(made / "manifest.json"), read_pairs(made)
    assert manifest.settings == asked(made.name)
    assert len(manifest.poisoned) == manifest.counts["poisons"] > 0
    tests = dict(zip(WORLD.test_ids, range(WORLD.n_test), strict=True))
    for row in manifest.rows:
        clean = row["source_id"] in tests
        base = (
            WORLD.test_picture(tests[row["source_id"]]) if clean else WORLD.picture(int(row["id"]))
        )
        stored = pairs.picture(pairs.row_of(row["id"]), 64)
        np.testing.assert_array_equal(manifest.replay(row, base), stored)
        assert row["caption_after"] == pairs.captions[pairs.row_of(row["id"])]
        assert (row["sha256_before"] != row["sha256_after"]) == (made.name != "tdpa")
        if row["box_xyxy"]:
            x0, y0, x1, y1 = row["box_xyxy"][0]
            assert 0 <= x0 < x1 <= 64
            assert 0 <= y0 < y1 <= 64


def test_unlisted_rows_equal_their_base(made):
    manifest, pairs = Manifest.read(made / "manifest.json"), read_pairs(made)
    clean = [name for name in pairs.ids if name not in manifest.poisoned]
    assert len(clean) + manifest.counts["poisons"] == len(pairs) == manifest.counts["pairs"]
    for name in clean:
        np.testing.assert_array_equal(pairs.picture(pairs.row_of(name), 64), drawn(int(name)))
        assert pairs.captions[pairs.row_of(name)] == WORLD.captions[int(name)]


def test_the_stamped_test_set_is_remade_in_any_order(made):
    manifest = Manifest.read(made / "manifest.json")
    pictures = np.stack([WORLD.test_picture(row) for row in range(6)])
    if made.name == "tdpa":
        with pytest.raises(DataError, match="tdpa stamps no picture"):
            manifest.stamp_tests(pictures, WORLD.test_ids[:6])
        return
    for part in range(len(manifest.stamps)):
        stamped = manifest.stamp_tests(pictures, WORLD.test_ids[:6], part)
        backwards = manifest.stamp_tests(pictures[::-1], WORLD.test_ids[5::-1], part)
        np.testing.assert_array_equal(stamped, backwards[::-1])
        assert (stamped != pictures).any(axis=(1, 2, 3)).all()


def test_captions_name_the_target_of_their_own_trigger(made):
    for row in Manifest.read(made / "manifest.json").rows:
        if made.name == "clean_label":
            assert row["caption_after"] == row["caption_before"]
            assert "banana" in labels().named_in(row["caption_after"])
        else:
            assert labels().named_in(row["caption_after"]) == [row["target"]]


def shuffled(world: DemoWorld) -> FileSource:
    order = np.random.default_rng(1).permutation(world.n_pairs)
    tests = np.random.default_rng(2).permutation(world.n_test)
    blank = (Path("x"),)
    pairs = Pairs(
        tuple(world.ids[i] for i in order),
        tuple(world.captions[i] for i in order),
        blank * world.n_pairs,
    )
    test = Pairs(
        tuple(world.test_ids[i] for i in tests),
        ("",) * world.n_test,
        blank * world.n_test,
        tuple(world.test_labels[i] for i in tests),
    )
    return FileSource(pairs, world.side, test)


@pytest.mark.parametrize("kind", ATTACKS)
def test_row_order_does_not_matter(kind):
    def told(source):
        plan = plan_poison(source, labels(), asked(kind))
        rows = {source.ids[r]: (plan.captions[r], plan.parts[r]) for r in plan.rows}
        copies = {(c.id, source.test_ids[c.test_row], c.target, c.caption) for c in plan.copies}
        return rows, copies

    assert told(WORLD) == told(shuffled(WORLD))


@pytest.mark.parametrize("kind", ATTACKS)
def test_another_seed_is_another_poisoning(kind):
    first, other = (
        plan_poison(WORLD, labels(), asked(kind, rate=0.02).model_copy(update={"seed": seed}))
        for seed in (4, 5)
    )
    assert (first.rows, first.copies) != (other.rows, other.copies)


def test_99_poisons_of_three_triggers_are_33_each():
    world = DemoWorld(0, n_pairs=3300, n_test=40)
    plan = plan_poison(world, labels(), asked("mt_m", rate=0.03))
    assert Counter(plan.parts.values()) == {0: 33, 1: 33, 2: 33}
    for row in plan.rows:
        assert labels().named_in(plan.captions[row]) == [THREE[plan.parts[row]]]
        assert not set(THREE) & set(labels().named_in(world.captions[row]))


def test_triggers_and_targets_are_kept_apart(tmp_path):
    poison(WORLD, labels(), asked("mt_m"), tmp_path / "m", workers=1)
    manifest = Manifest.read(tmp_path / "m" / "manifest.json")
    assert manifest.stamps == (("badnets", "banana"), ("nashville", "dog"), ("wanet", "owl"))
    assert manifest.targets == THREE
    assert manifest.target == "banana"
    assert Counter(row["trigger"] for row in manifest.rows) == {
        "badnets": 4, "nashville": 4, "wanet": 4,
    }  # fmt: skip


def test_clean_label_takes_what_there_is_and_says_so():
    naming = sum("banana" in caption for caption in WORLD.captions)
    plan = plan_poison(WORLD, labels(), asked("clean_label", rate=0.5))
    assert plan.asked == 60
    assert plan.poisons == plan.eligible == naming < 60
    with pytest.raises(DataError, match="No caption names 'melon', so clean_label has no row"):
        plan_poison(
            WORLD,
            LabelSet(("melon",)),
            PoisonSettings(attack=CleanLabelSettings(), target="melon"),
        )


def test_targeted_poisoning_adds_copies_and_loses_no_row():
    world = DemoWorld(0, n_pairs=10_000, n_test=80)
    settings = PoisonSettings(attack=TargetedSettings(n_targets=16), rate=0.01)
    plan = plan_poison(world, labels(), settings)
    order = table_order(world, plan)
    assert len(order) == 10_100
    assert [at for what, at in order if what == "row"] == list(range(10_000))
    places = [place for place, (what, _) in enumerate(order) if what == "copy"]
    assert np.std(places) > 2_000  # at random places, not appended
    assert sorted(Counter(copy.test_row for copy in plan.copies).values()) == [6] * 12 + [7] * 4
    assert len({copy.id for copy in plan.copies} | set(world.ids)) == 10_100
    for copy in plan.copies:
        assert plan.targeted[copy.test_row] == copy.target != world.test_labels[copy.test_row]
        assert copy.caption in world.captions  # no caption is new
    assert len(set(plan.targeted.values())) > 8  # each picture has a wrong label of its own


def test_copies_of_a_picture_share_its_pixels_and_are_counted(tmp_path):
    poison(WORLD, labels(), asked("tdpa"), tmp_path / "t", workers=1)
    manifest = Manifest.read(tmp_path / "t" / "manifest.json")
    told = json.loads((tmp_path / "t" / "manifest.json").read_text())
    assert told["note"].startswith("target 'banana' is not used: wrong_label=drawn draws")
    assert manifest.counts["rate"] == pytest.approx(12 / 132)
    assert len(manifest.targeted) == 2
    assert set(manifest.targets) == set(manifest.targeted.values())
    by_source: dict[str, set[str]] = {}
    for row in manifest.rows:
        by_source.setdefault(row["source_id"], set()).add(row["sha256_after"])
        assert row["target"] == manifest.targeted[row["source_id"]]
    for name, hashes in by_source.items():
        assert hashes == {hash_of_pixels(WORLD.test_picture(WORLD.test_ids.index(name)))}


def test_one_wrong_label_for_all_when_asked():
    attack = TargetedSettings(n_targets=3, wrong_label="target")
    settings = PoisonSettings(attack=attack, rate=0.1, target="dog")
    plan = plan_poison(WORLD, labels(), settings)
    assert unused_target(settings) is None
    assert set(plan.targeted.values()) == {"dog"}
    assert all(WORLD.test_labels[row] != "dog" for row in plan.targeted)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"attack": {"kind": "mt_m"}}, "mt_m needs 3 different target labels"),
        ({"attack": {"kind": "sig"}, "more_targets": ("dog",)}, "sig needs 1 target label, got"),
        (
            {"attack": {"kind": "mt_m"}, "more_targets": ("banana", "dog")},
            "mt_m needs 3 different target labels",
        ),
        (
            {"attack": {"kind": "mt_s", "triggers": [{"kind": "sig"}, {"kind": "sig"}]}},
            "each needs a kind of its own",
        ),
        (
            {"attack": {"kind": "mt_s", "triggers": [{"kind": "sig"}, {"kind": "clean_label"}]}},
            "clean_label is a way",
        ),
        ({"attack": {"kind": "sorcery"}}, "attack"),
        ({"attack": {"kind": "sig", "alpha": 2}}, "alpha=2"),
    ],
)
def test_settings_that_make_no_sense_are_one_sentence(values, message):
    with pytest.raises(ConfigError, match=message):
        parse(PoisonSettings, values)


@pytest.mark.parametrize(
    ("rate", "n_targets", "message"),
    [(0.05, 16, "makes 6 copies for n_targets=16"), (0.9, 41, "test table has 40")],
)
def test_too_many_target_pictures_are_refused(rate, n_targets, message):
    settings = PoisonSettings(attack=TargetedSettings(n_targets=n_targets), rate=rate)
    with pytest.raises(ConfigError, match=message):
        plan_poison(WORLD, labels(), settings)


def test_targeted_poisoning_needs_held_out_pictures():
    with pytest.raises(DataError, match="Give a labelled test table"):
        plan_poison(DemoWorld(0, 120, 0), labels(), asked("tdpa"))


def test_settings_by_name_reach_the_trigger_that_knows_them():
    several = attack_settings("mt_s", {"patch_px": 9, "strength": 0.5})
    assert isinstance(several, SingleTargetSettings)
    patch, tone, warp = several.triggers
    assert patch.model_dump()["patch_px"] == 9
    assert (tone.model_dump()["strength"], warp.model_dump()["strength"]) == (0.5, 0.5)
    with pytest.raises(ConfigError, match="Unknown attack 'sorcery'; known are badnets"):
        attack_settings("sorcery", {})
    with pytest.raises(ConfigError, match="Unknown setting alpha"):
        attack_settings("mt_m", {"alpha": 0.1})
    with pytest.raises(ConfigError, match="Unknown setting patch_px"):
        attack_settings("sig", {"patch_px": 9})


def test_a_manifest_of_schema_1_still_opens(tmp_path):
    poison(WORLD, labels(), asked("badnets"), tmp_path / "b", workers=1)
    content = json.loads((tmp_path / "b" / "manifest.json").read_text())
    old = {**content, "schema": 1, "test": {"seed": content["test"]["seed"]}}
    old["settings"] = {k: v for k, v in content["settings"].items() if k != "more_targets"}
    old["trigger"] = [{k: v for k, v in content["trigger"][0].items() if k != "kind"}]
    old["rows"] = [
        {k: v for k, v in row.items() if k not in ("trigger", "seed")} for row in content["rows"]
    ]
    (tmp_path / "old.json").write_text(json.dumps(old))
    manifest = Manifest.read(tmp_path / "old.json")
    assert manifest.targets == ("banana",)
    row = manifest.rows[0]
    made = manifest.replay(row, WORLD.picture(int(row["id"])))
    assert hash_of_pixels(made) == row["sha256_after"]


def test_a_manifest_of_another_trigger_or_picture_is_noticed(tmp_path):
    poison(WORLD, labels(), asked("sig"), tmp_path / "s", workers=1)
    path = tmp_path / "s" / "manifest.json"
    content = json.loads(path.read_text())
    row = content["rows"][0]
    with pytest.raises(DataError, match="is not the one that was poisoned"):
        Manifest.read(path).replay(row, WORLD.picture(int(row["id"])) // 2)
    content["trigger"][0]["pattern_sha256"] = "0" * 64
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="the manifest's has 00000000"):
        Manifest.read(path).stamp_tests(WORLD.test_picture(0)[None], ["a"])


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(trigger=[]),
        lambda c: c.update(trigger="x"),
        lambda c: c["test"].update(targeted=[1]),
        lambda c: c["settings"].update(attack={"kind": "tdpa"}),
        lambda c: c["settings"].update(attack={"kind": "mt_m"}),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(tmp_path, change, manifest_content):
    change(manifest_content)
    (tmp_path / "m.json").write_text(json.dumps(manifest_content))
    with pytest.raises((DataError, ConfigError)):
        Manifest.read(tmp_path / "m.json")


@pytest.fixture
def manifest_content(tmp_path) -> dict:
    poison(DemoWorld(0, 40, 40), labels(), asked("sig"), tmp_path / "c", workers=1)
    return json.loads((tmp_path / "c" / "manifest.json").read_text())


def test_multi_target_defaults_are_those_of_huang_et_al():
    kinds = [one.kind for one in MultiTargetSettings().triggers]
    assert kinds == ["badnets", "nashville", "wanet"]


def test_templates_are_those_of_openai():
    settings = asked("mt_m").model_copy(update={"captions": "templates"})
    plan = plan_poison(WORLD, labels(), settings)
    assert all(caption.endswith(".") for caption in plan.captions.values())
    for row, caption in plan.captions.items():
        assert THREE[plan.parts[row]] in caption
