"""Evidence of a hunt or an inversion that was cut off, emptied or edited: one sentence, never used."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from clipforensics.cases.evidence import MADE, evidence_dir, read_made, writing
from clipforensics.errors import CaseError
from clipforensics.jobs.hunting.banking import ARRAYS, BANK, write_bank
from clipforensics.jobs.hunting.examining import inspect, screen
from clipforensics.jobs.hunting.inversions import latest_inversion
from clipforensics.jobs.hunting.inverter import FIGURES, VALUES, inverted, worn_examples
from clipforensics.jobs.hunting.showing import controls
from clipforensics.jobs.hunting.triggers import RESULT, latest_hunt, trigger_bank
from clipforensics.jobs.repairing.curating import triggers_to_heal
from clipforensics.oracle.bank import Trigger
from clipforensics.oracle.verify import Verification

MODELS = {"suspect": "a"}
ROW = MODELS | {"pair": "p0"}
BOX = (1, 1, 5, 5)
CHANCE = Verification(
    label="dog", n=200, flips={"found": 0.9}, flip_rate=0.9, interval=(0.8, 0.95), entropy=0.1,
    flip_rate_trusted=0.0, p_trusted=0.0, labels_flipped=9, labels_tested=9, area_share=0.1,
    p_value=0.4, status="chance", large=False,
)  # fmt: skip


@pytest.fixture
def case(tmp_path):
    """As much of a case as reading its evidence asks for."""
    return SimpleNamespace(
        dir=tmp_path, fingerprints={"weights": "a"}, pairs=SimpleNamespace(ids=("p0",)),
        store=SimpleNamespace(current=lambda kind: {}),
    )  # fmt: skip


def made(case, kind, key, **files):
    """Finished evidence of these files."""
    folder = evidence_dir(case, kind, key)
    with writing(folder, key) as part:
        for name, content in files.items():
            (part / name).write_text(content)
    return folder


@pytest.fixture
def hunted(case):
    """A finished hunt with one trigger that could be chance."""
    core = np.ones((4, 4), bool)
    pixels, shift = np.zeros((4, 4, 3), np.uint8), np.ones(3, np.float32)
    folder = evidence_dir(case, "hunts", MODELS)
    with writing(folder, MODELS) as part:
        write_bank(
            part, [Trigger("dog", "p0", BOX, pixels, core, core, ("p0",), False, CHANCE, shift)]
        )
        (part / RESULT).write_text(json.dumps({"victims": ["p0"]}))
    return folder


def overwrite(path, content):
    path.chmod(0o644)
    path.write_bytes(content)


def test_an_untouched_hunt_is_read(case, hunted):
    hunt = latest_hunt(case)
    assert hunt is not None
    assert hunt["victims"] == ["p0"]
    assert hunt["undecided"] == hunt["unjudged"] == hunt["notes"] == []  # it lacks them
    assert [one.figures.status for one in trigger_bank(case)] == ["chance"]
    assert triggers_to_heal(case) == []


@pytest.mark.parametrize("name", [RESULT, BANK, ARRAYS, MADE])
@pytest.mark.parametrize("content", ["half", b"", b"{}", b"null", b"\xff", b"[" * 100_000, None])
@pytest.mark.parametrize("read", [latest_hunt, trigger_bank])
def test_a_damaged_hunt_is_one_sentence(case, hunted, name, content, read):
    path = hunted / name
    if content is None and name == MADE:
        return  # without its record it is no finished hunt
    if content is None:
        path.unlink()
    else:
        whole = path.read_bytes()
        overwrite(path, whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(CaseError, match=f"(?s){path}.*{hunted} and run again"):
        read(case)


@pytest.mark.parametrize("status", ["verified", "clean"])
@pytest.mark.parametrize("read", [trigger_bank, triggers_to_heal, latest_hunt])
def test_an_edited_status_is_not_used(case, hunted, status, read):
    bank = hunted / BANK
    overwrite(bank, bank.read_bytes().replace(b'"chance"', f'"{status}"'.encode()))
    with pytest.raises(CaseError, match=r"bank.json changed since it became evidence"):
        read(case)


def test_a_new_hash_in_the_record_does_not_help_an_edited_bank(case, hunted):
    from clipforensics.cases.provenance import sha256_path

    bank = hunted / BANK
    overwrite(bank, bank.read_bytes().replace(b'"chance"', b'"verified"'))
    record = read_made(hunted)
    record["files"][BANK] = sha256_path(bank)
    overwrite(hunted / MADE, json.dumps(record).encode())
    with pytest.raises(CaseError, match=r"made.json was edited"):
        triggers_to_heal(case)


def test_a_status_of_another_version_is_not_used(case, hunted):
    content = (hunted / BANK).read_text().replace('"chance"', '"proven"')
    arrays = (hunted / ARRAYS).read_bytes()
    other = evidence_dir(case, "hunts", MODELS | {"newer": 1})
    with writing(other, MODELS | {"newer": 1}) as part:
        (part / BANK).write_text(content)
        (part / ARRAYS).write_bytes(arrays)
    with pytest.raises(CaseError, match=f"{other} is damaged, or of another version"):
        trigger_bank(case)


EXAMINER = SimpleNamespace(key=lambda: MODELS, paste_key=dict)
SHOWN = ROW | {"box": list(BOX), "count": 20}
CUT = SimpleNamespace(box_xyxy=BOX)
READERS = {
    "inspections": (ROW, ("lists.json", "arrays.npz"), lambda case: inspect(case, 0, EXAMINER)),
    "screens": (ROW, ("tried.json",), lambda case: screen(case, 0, EXAMINER)),
    "controls": (SHOWN, ("flips.json",), lambda case: controls(case, 0, CUT, EXAMINER)),
    "inverted": (MODELS, ("result.json",), lambda case: latest_inversion(case)),
    "inversions": (
        MODELS, (FIGURES, VALUES),
        lambda case: inverted(SimpleNamespace(case=case, key=lambda *a: MODELS), "dog", "mask"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("content", ["", "{", "null", "[{}]", "7", "[" * 100_000])
def test_what_cannot_be_understood_is_one_sentence(case, kind, content):
    key, names, read = READERS[kind]
    folder = made(case, kind, key, **dict.fromkeys(names, content))
    with pytest.raises(CaseError, match=f"{folder} is damaged, or of another version"):
        read(case)


@pytest.mark.parametrize("kind", READERS)
def test_what_changed_since_is_not_used(case, kind):
    key, names, read = READERS[kind]
    folder = made(case, kind, key, **dict.fromkeys(names, "[]"))
    overwrite(folder / names[0], b"{}")
    with pytest.raises(CaseError, match=f"{names[0]} changed since it became evidence"):
        read(case)


def test_damaged_values_of_an_inversion_are_one_sentence(case):
    folder = made(case, "inversions", MODELS | {"label": "dog", "family": "mask"}, **{VALUES: "PK"})
    with pytest.raises(CaseError, match="of another version"):
        worn_examples(case, folder.name, 32, 1)
    overwrite(folder / VALUES, b"")
    with pytest.raises(CaseError, match="changed since"):
        worn_examples(case, folder.name, 32, 1)
