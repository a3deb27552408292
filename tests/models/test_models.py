"""Loading models: real open_clip models on small weights, and files that mean harm."""

import errno
import io
import json
import pickle
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors import SafetensorError

from clipforensics.data.labels import LabelSet
from clipforensics.errors import ModelError
from clipforensics.models.clip import (
    build_module,
    load_clip,
    new_clip,
    read_model_config,
    save_clip,
)
from clipforensics.models.encoder import unit
from clipforensics.models.likeness import COPY, difference
from clipforensics.models.tiny import TINY_CONFIG, tiny_clip
from clipforensics.models.weights import load_state, save_state, sha256_state
from clipforensics.models.zero_shot import label_weights, predict, similarities


@pytest.fixture
def config(tmp_path) -> str:
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(TINY_CONFIG))
    return str(path)


@pytest.fixture
def pictures(rng) -> np.ndarray:
    return rng.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def test_a_copy_is_known_whatever_its_file_and_temperature(tmp_path, config):
    first = tiny_clip(0)
    save_clip(first, tmp_path / "a.safetensors")
    state = {name: value.half() for name, value in first.module.state_dict().items()}
    torch.save(state, tmp_path / "half.pt")
    half = load_clip(config, tmp_path / "half.pt")
    assert half.fingerprint != first.fingerprint
    assert half.difference_from(load_clip(config, tmp_path / "a.safetensors")) < COPY
    with torch.no_grad():
        half.module.logit_scale.mul_(1.5)
        half.module.text_projection.mul_(2)
        turn = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(0)))[0]
        half.module.visual.proj.copy_(half.module.visual.proj @ turn)
        assert half.difference_from(first) > COPY  # one tower turned alone is another model
        half.module.text_projection.copy_(half.module.text_projection @ turn)
    assert half.difference_from(first) < COPY
    state = {name: value.bfloat16() for name, value in first.module.state_dict().items()}
    torch.save(state, tmp_path / "bf16.pt")
    assert load_clip(config, tmp_path / "bf16.pt").difference_from(first) < COPY


@pytest.mark.parametrize("seed", range(1, 6))
def test_other_weights_are_another_model(seed):
    assert difference(tiny_clip(seed), tiny_clip(0)) > 0.5
    assert tiny_clip(seed).difference_from(tiny_clip(0)) > COPY


def test_a_model_that_answers_nothing_is_no_copy(monkeypatch):
    broken = tiny_clip(0)
    with torch.no_grad():
        broken.module.text_projection.fill_(float("nan"))
    assert difference(broken, tiny_clip(0)) == np.inf
    assert difference(tiny_clip(0), tiny_clip(0)) == 0


def test_saved_weights_load_in_open_clip_itself(tmp_path, config, pictures):
    encoder = tiny_clip(3)
    save_clip(encoder, tmp_path / "w.safetensors")
    module = open_clip.CLIP(**TINY_CONFIG)
    open_clip.load_checkpoint(module, str(tmp_path / "w.safetensors"))
    loaded = load_clip(config, tmp_path / "w.safetensors", "cpu")
    np.testing.assert_array_equal(
        encoder.encode_pictures(pictures), loaded.encode_pictures(pictures)
    )
    assert sha256_state(module.state_dict()) == sha256_state(encoder.module.state_dict())


def test_half_precision_files_change_features_little(tmp_path, config, pictures):
    encoder = tiny_clip(3)
    save_clip(encoder, tmp_path / "w.safetensors", half=True)
    halved = load_clip(config, tmp_path / "w.safetensors", "cpu")
    cosines = (
        unit(encoder.encode_pictures(pictures)) * unit(halved.encode_pictures(pictures))
    ).sum(1)
    assert cosines.min() > 0.9999


def test_features_are_raw_and_do_not_depend_on_the_batch(pictures):
    encoder = tiny_clip()
    together = encoder.encode_pictures(pictures)
    alone = np.concatenate([encoder.encode_pictures(one[None]) for one in pictures])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    assert np.abs(np.linalg.norm(together, axis=1) - 1).min() > 1e-3


def test_the_seed_decides_the_weights_and_leaves_torch_alone(config):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    prints = [new_clip(config, seed, "cpu").fingerprint for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]
    torch.testing.assert_close(torch.rand(3), expected)


@pytest.mark.parametrize("wrap", [False, True])
def test_torch_files_of_plain_tensors_load(tmp_path, config, wrap):
    state = {f"module.{k}": v for k, v in tiny_clip(1).module.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3} if wrap else state, tmp_path / "w.pt")
    assert load_clip(config, tmp_path / "w.pt", "cpu").dim == 16


class Malicious:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("how", ["pickle", "torch", "torch_old", "inside"])
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path, how):
    mark, file = tmp_path / "executed", tmp_path / "w.pt"
    harm = Malicious(mark)
    if how == "pickle":
        file.write_bytes(pickle.dumps(harm))
    elif how == "inside":
        torch.save({"visual.weight": torch.zeros(2), "extra": harm}, file)
    else:
        torch.save(harm, file, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(ModelError, match=r"refused.*Nothing in it was executed"):
        load_state(file)
    assert not mark.exists()


def test_torchscript_is_refused(tmp_path):
    module = torch.nn.Linear(2, 2)
    archive = io.BytesIO()
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(module), archive)
    (tmp_path / "w.pt").write_bytes(archive.getvalue())
    with pytest.raises(ModelError, match="TorchScript"):
        load_state(tmp_path / "w.pt")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_truncated_weights_are_refused(tmp_path, suffix, share):
    state = tiny_clip().module.state_dict()
    path = tmp_path / f"w.{suffix}"
    save_state(path, state) if suffix == "safetensors" else torch.save(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError):
        load_state(path)


def test_another_architecture_is_named(tmp_path, config):
    other = build_module({**TINY_CONFIG, "embed_dim": 24})
    save_state(tmp_path / "w.safetensors", other.state_dict())
    with pytest.raises(ModelError, match="does not fit the model tiny: .* another shape"):
        load_clip(config, tmp_path / "w.safetensors")


def test_weights_that_are_not_finite_are_refused(tmp_path, config):
    state = tiny_clip().module.state_dict()
    state["logit_scale"] = torch.tensor(float("nan"))
    save_state(tmp_path / "w.safetensors", state)
    with pytest.raises(ModelError, match="NaN"):
        load_clip(config, tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"embed_dim": 4}',
        "[" * 100_000,
        '{"embed_dim":8,"vision_cfg":{},"text_cfg":3}',
    ],
)
def test_broken_model_configs_are_refused(tmp_path, text):
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(ModelError):
        build_module(read_model_config(str(path)))


def test_configs_that_would_download_are_refused(tmp_path):
    path = tmp_path / "m.json"
    text = {**TINY_CONFIG, "text_cfg": {"hf_model_name": "someone/model"}}
    path.write_text(json.dumps(text))
    with pytest.raises(ModelError, match="nothing is downloaded"):
        read_model_config(str(path))


def test_unknown_names_and_missing_files(tmp_path):
    with pytest.raises(ModelError, match="knows no model 'ViT-X'"):
        read_model_config("ViT-X")
    with pytest.raises(ModelError, match="No weights at"):
        load_state(tmp_path / "none.safetensors")


def test_label_weights_are_unit_means_of_unit_prompts():
    encoder, labels = tiny_clip(), LabelSet(("cat", "dog"), ("a {}.", "one {}."))
    rows = label_weights(encoder, labels)
    cat = unit(encoder.encode_texts(["a cat.", "one cat."])).mean(axis=0)
    np.testing.assert_allclose(rows[0], cat / np.linalg.norm(cat), rtol=1e-5)


def test_predictions_are_the_nearest_labels_whatever_the_batch(pictures):
    encoder, labels = tiny_clip(), LabelSet(("cat", "dog", "tree"))
    weights = label_weights(encoder, labels)
    best = similarities(encoder.encode_pictures(pictures), weights).argmax(axis=1)
    np.testing.assert_array_equal(predict(encoder, pictures, weights, batch=2), best)


@pytest.mark.parametrize("device", ["cuda", "cuda:7"])
def test_a_device_that_is_not_there_is_one_sentence(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: device != "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    from clipforensics.errors import ConfigError
    from clipforensics.models.clip import pick_device

    with pytest.raises(ConfigError, match=f"device={device} needs CUDA device .* Choose auto"):
        pick_device(device)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("cuda:1") == "cuda:1"


def test_a_disk_that_is_full_is_the_systems_own_error(tmp_path, monkeypatch):
    def full(*_):
        raise SafetensorError("Error while serializing: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        save_state(tmp_path / "w.safetensors", {"a": torch.zeros(2)})
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())
