"""What the journal tells of a split: sizes, mixture, histogram, labels, doubts; nothing learns from it."""

from typing import Any

import numpy as np

from clipforensics.config.recipes import SafeClipSettings
from clipforensics.repair.bylabel import LabelCounter
from clipforensics.repair.split import Mixture

HISTOGRAM_BINS = 200
LABELS_SHOWN = 10
DOMINANT = 0.5
"""Of all safe pairs: no label should be so much of what is learned."""


def split_record(
    epoch: int, cosines: np.ndarray, safe: np.ndarray, before: np.ndarray, mixture: Mixture
) -> dict[str, Any]:
    """What every split has.

    Args:
        epoch: main epoch, from 0.
        cosines: float64 [n], of all pairs.
        safe: int64 rows, now trusted.
        before: those of the epoch before; empty in the first.
        mixture: fitted to these cosines.
    """
    n, kept = len(cosines), len(np.intersect1d(before, safe))
    counts, _ = np.histogram(cosines, np.linspace(-1, 1, HISTOGRAM_BINS + 1))
    return {
        "epoch": epoch, "n_safe": len(safe), "n_risky": n - len(safe), "r": len(safe) / n,
        "tau": mixture.tau, "gmm": mixture.record(), "lowest_safe": float(cosines[safe].min()),
        "entered": len(safe) - kept, "left": len(before) - kept, "hist": counts.tolist(),
    }  # fmt: skip


def truth(poisoned: np.ndarray | None, cosines: np.ndarray, safe: np.ndarray) -> dict[str, Any]:
    """Poisons among the safe, and how well a low cosine finds them; nothing where none is known.

    Args:
        poisoned: bool [n], or None.
        cosines: float64 [n].
        safe: int64 rows.
    """
    if poisoned is None or not 0 < poisoned.sum() < len(poisoned):
        return {}
    from sklearn.metrics import roc_auc_score

    return {"truth": {
        "poisoned": int(poisoned.sum()), "poisoned_in_safe": int(poisoned[safe].sum()),
        "auroc_low_cosine": float(roc_auc_score(poisoned, -cosines)),
    }}  # fmt: skip


def safe_by_label(naming: LabelCounter | None, safe: np.ndarray) -> dict[str, Any]:
    """The labels that are trusted least, which of all have no safe pair, and which are half of them.

    A label without safe pairs is learned by no CLIP loss; one that is half of them is most of what is
    learned.
    """
    if naming is None:
        return {}
    trusted, pairs = naming.of(safe), naming.of(np.arange(naming.n))
    table = [
        {"label": name, "pairs": int(of), "safe": int(a), "share": float(a / of)}
        for name, a, of in zip(naming.labels, trusted, pairs, strict=True)
        if of
    ]
    table.sort(key=lambda line: line["share"])
    return {"by_label": {
        "least": table[:LABELS_SHOWN], "median": float(np.median([one["share"] for one in table] or [0])),
        "untrusted": [line["label"] for line in table if not line["safe"]],
        "dominant": [line["label"] for line in table if line["safe"] >= DOMINANT * len(safe)],
    }}  # fmt: skip


def doubts(record: dict[str, Any], settings: SafeClipSettings) -> dict[str, str]:
    """One sentence where a split is not what the method hopes for.

    Args:
        record: of `split_record`, with `safe_by_label` where that is known.
        settings: of the run.
    """
    n_safe, n_risky, batch = record["n_safe"], record["n_risky"], settings.batch
    said = []
    # later mixtures decide nothing
    first = record["epoch"] == 0 and settings.first_share is None
    if first and record["gmm"]["fallback"]:
        said.append("the cosines are no clear mixture, so the first safe share is a fallback")
    if n_safe < batch:
        said.append(f"{n_safe:,} safe pairs are below one batch of {batch}: their pass is skipped")
    if n_risky < batch:
        said.append(
            f"{n_risky:,} risky pairs are below one batch of {batch}: their pass is skipped, and nearly "
            "every pair is trusted"
        )
    if max(n_safe, n_risky) < batch:
        said.append("so nothing is learned in this epoch; a smaller batch would help")
    said += _of_labels(record.get("by_label", {}))
    return {"warning": "; ".join(said)} if said else {}


def _of_labels(found: dict[str, Any]) -> list[str]:
    said = []
    if names := found.get("untrusted"):
        more = f" and {len(names) - LABELS_SHOWN:,} more" if len(names) > LABELS_SHOWN else ""
        said.append(f"no safe pair names {', '.join(names[:LABELS_SHOWN])}{more}")
    if names := found.get("dominant"):
        said.append(f"half of the safe pairs or more name {' or '.join(names)}")
    return said
