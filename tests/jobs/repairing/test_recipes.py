"""Every recipe on a tiny poisoned case, without a process."""

from clipforensics.jobs.repairing.estimating import time_plain_epoch
from clipforensics.models.clip import load_clip

SAFE = {"batch": 32, "unimodal_epochs": 1, "main_epochs": 2, "pool": 32, "evaluate_every": 10}


def test_eftclip_repairs_a_case_and_says_what_it_did(case, bank, world, go):
    result, records, context = go(case)
    assert result["working_attack"]
    assert result["asr_before"] > 0.8
    assert result["asr_after"] < 0.1
    assert result["ca_after"] > result["ca_before"] - 0.05
    assert (result["n"], result["n_ca"], result["asr_of"]) == (60, 80, "planted")
    assert result["asr_low_after"] <= result["asr_after"] <= result["asr_high_after"]
    assert result["cost_in_plain_epochs"] > 0
    assert result["hunt"] is None  # the bank is a stub; no hunt is kept
    first = records[0] if records[0]["kind"] == "evaluation" else records[1]
    assert first["baseline"]
    assert first["step"] == 0
    evaluations = [r for r in records if r["kind"] == "evaluation"]
    assert [r["step"] for r in evaluations] == [0, 10, 20, 30, 40]
    for record in evaluations:
        assert {"t", "step", "total", "ca", "asr", "n_ca", "n_asr", "ca_low", "asr_high"} <= set(
            record
        )
        assert set(record["triggers"]) == {"planted", "found 1"}
    table = {line["kind"]: line for line in result["composition"]}
    assert table["retention"]["pairs"] + table["target"]["pairs"] == 48
    checkpoint = context.run.dir / result["checkpoint"]
    healed = load_clip(str(world / "tiny.json"), checkpoint, "cpu")
    assert healed.fingerprint == result["checkpoint_sha256"]
    assert checkpoint in context.run.checkpoints()
    assert all("resume" not in path.parts for path in context.run.checkpoints())


def test_the_control_stamps_nothing_and_needs_no_trigger(case, bank, go, eft):
    bank.clear()
    result, records, _ = go(case, recipe="finetune", changes={**eft, "steps": 4})
    assert result["recipe"] == "finetune"
    assert [line["kind"] for line in result["composition"]] == ["retention", "target"]
    assert not any("anchor" in record for record in records)


def test_safeclip_retrains_from_random_weights(case, bank, go):
    result, records, _ = go(case, recipe="safeclip", changes=SAFE, retrieval_pairs=0)
    assert not any("retrieval" in record for record in records)
    assert result["steps"] == result["total"]
    assert result["asr_before"] > 0.8
    splits = [r["split"] for r in records if "split" in r]
    assert [s["epoch"] for s in splits] == [0, 1]
    assert splits[0]["truth"]["poisoned"] == 36
    baselines = [r for r in records if r.get("baseline")]
    assert len(baselines) == 1
    assert baselines[0]["ca"] == result["ca_before"]


def test_cleanclip_needs_no_trigger(case, bank, go, eft):
    bank.clear()
    result, records, _ = go(case, recipe="cleanclip", changes={**eft, "steps": 6})
    assert result["recipe"] == "cleanclip"
    assert any("in_modal" in record for record in records)


def test_roclip_retrains_from_random_weights(case, bank, go):
    result, records, _ = go(case, recipe="roclip", changes={"batch": 32, "epochs": 2, "pool": 32})
    assert result["steps"] == result["total"] == 14
    assert [r["phase"] for r in records if r["kind"] == "phase"] == ["own captions", "pool"]


def test_filtering_drops_the_highest_scores_and_says_which(case, bank, go):
    changes = {
        "batch": 32, "epochs": 1, "drop_share": 0.25, "detector": "lof",
        "reference": {"reference_size": 64},
    }  # fmt: skip
    result, records, _ = go(case, recipe="filter", changes=changes)
    made = next(r["filter"] for r in records if "filter" in r)
    assert (made["kept"], made["dropped"], made["by"]) == (176, 58, "lof")  # 6 are held out
    assert made["truth"]["poisoned"] == 36
    assert made["threshold"] > 0
    assert [line["kind"] for line in result["composition"]] == ["kept", "dropped"]
    control, records, _ = go(
        case, "control", recipe="filter", changes={**changes, "at_random": True}
    )
    drawn = next(r["filter"] for r in records if "filter" in r)
    assert (drawn["dropped"], drawn["by"], drawn["threshold"]) == (58, "a random draw", None)
    assert control["steps"] == result["steps"] == 5


def test_a_plain_epoch_is_timed_on_a_copy(case):
    before = case.suspect("cpu").fingerprint
    assert time_plain_epoch(case, "cpu") > 0
    assert case.suspect("cpu").fingerprint == before
