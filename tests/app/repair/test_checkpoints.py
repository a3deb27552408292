"""Checkpoints leave the page: loaded elsewhere, or scanned anew beside the case they came from."""

import json


def test_the_lines_on_the_page_load_a_checkpoint_with_open_clip(tmp_path):
    import torch

    from clipforensics.models.clip import save_clip
    from clipforensics.models.tiny import TINY_CONFIG, tiny_clip
    from clipforensics.ui.checkpoints import loading

    model, path = tmp_path / "it's tiny.json", tmp_path / "final.safetensors"
    model.write_text(json.dumps(TINY_CONFIG))
    made = tiny_clip(5)
    save_clip(made, path)
    said: dict = {}
    exec(loading(path, str(model)), said)
    held = said["model"].state_dict()
    for name, value in made.module.state_dict().items():
        assert torch.equal(held[name], value), name


def test_a_checkpoint_is_chosen_by_its_figures_and_scanned_anew(
    case, bank, launched, visit, played
):
    from clipforensics.cases.case import Case
    from clipforensics.models.clip import save_clip
    from clipforensics.models.tiny import tiny_clip

    def done(run):
        if run.kind == "repair":
            played.play(run, played.DONE, played.FINISHED, played.RESULT)
            for name in ("step-000150", "final"):
                save_clip(tiny_clip(5), run.dir / "checkpoints" / f"{name}.safetensors")

    launched.do = done
    at = visit("repair", case="tiny")
    at.button(key="repair.start").click().run()
    run = launched[0]
    at = visit("repair", case="tiny")
    choice = at.selectbox(key=f"checkpoint.{run.id}")
    assert all("clean accuracy 99.50%, ASR 0.20%" in one for one in choice.options)
    at.button(key=f"rescan.{run.id}").click().run()
    assert not at.exception
    assert launched[1].kind == "scan"
    made = Case.open(launched[1].case_dir)
    assert made.dir.name == "tiny-eftclip"
    assert made.fingerprints["weights"] != case.fingerprints["weights"]
    assert made.fingerprints["data"] == case.fingerprints["data"]
    assert "repaired by eftclip" in made.name


def test_a_re_scan_is_shown_beside_the_case_it_came_from(
    home, case, bank, visit, monkeypatch, tmp_path
):
    from types import SimpleNamespace

    import numpy as np

    from clipforensics.cases.case import Case
    from clipforensics.config.scan import ScanSettings
    from clipforensics.jobs.repairing import rescanned, score_drop
    from clipforensics.jobs.repairing.adopting import adopt
    from clipforensics.jobs.scanning import scan
    from clipforensics.models.clip import save_clip
    from clipforensics.models.tiny import tiny_clip

    monkeypatch.setattr(scan, "umap_2d", lambda x, *_: np.asarray(x[:, :2], np.float32))
    monkeypatch.setattr(rescanned, "placed_on", lambda old, near, *_: old[near[1]].mean(axis=1))
    assert not any(
        "Before and after" in one.value for one in visit("repair", case="tiny").subheader
    )
    told, tell = [], score_drop.told
    monkeypatch.setattr(
        score_drop, "told", lambda case, drop: told.append(drop) or tell(case, drop)
    )
    checkpoint = home / "final.safetensors"
    save_clip(tiny_clip(5), checkpoint)
    run = SimpleNamespace(id="r", config={"recipe": "eftclip"}, checkpoints=lambda: [checkpoint])
    made = adopt(case, run, checkpoint, home / "tiny-eftclip")
    scan.scan(made, ScanSettings(detectors=("slof",)))
    case.store.decide("sample", case.pairs.ids[3], "suspicious", "ann")
    for name in ("tiny", "tiny-eftclip"):
        at = visit("repair", case=name)
        assert any(one.value == "Before and after the repair" for one in at.subheader)
        pastes, answers = (
            one.value for one in at.dataframe if "Place" in one.value or "Before" in one.value
        )
        assert set(pastes["Place"]) >= {"Where it was found", "Random places"}
        assert list(answers["Pair"]) == [case.pairs.ids[3], bank[0].pair]
        assert any(
            "nearest neighbours in the full embedding space stayed" in one.value for one in at.text
        )
        assert any("(n = 1)" in one.value for one in at.text)
        assert any("never coordinates" in one.value for one in at.markdown)
        assert any("What only the suspect believed" in one.value for one in at.markdown)
    drop = score_drop.score_drop(case, made)
    first = case.pairs.ids[int(np.argmax(drop))]
    assert next(one.key for one in at.button if one.key and one.key.startswith("drop.")).endswith(
        first
    )
    at.button(key=f"drop.pick.sample.{first}").click().run()
    held = Case.open(made.dir).store.current("sample")[first]
    assert (held.verdict, held.reason) == ("suspicious", "score drop")
    assert not any(".near." in (one.key or "") for one in at.button)  # no map here to show them on
    assert all(
        np.array_equal(one, drop) for one in told
    )  # what the captions share is of this order
    at = visit("repair", case="tiny")
    at.button(
        key=f"drop.pick.sample.{first}"
    ).click().run()  # a pick goes to the case that is shown
    assert first in Case.open(case.dir).store.current("sample")
    same = tmp_path / "same.safetensors"
    save_clip(tiny_clip(0), same)
    run.checkpoints = lambda: [same]
    unchanged = adopt(case, run, same, home / "tiny-same")
    scan.scan(unchanged, ScanSettings(detectors=("slof",)))
    at = visit("repair", case="tiny-same")
    assert "No pair's score fell." in [one.value for one in at.text]
    assert not any((one.key or "").startswith("drop.") for one in at.button)
