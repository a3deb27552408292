"""What a finished repair says, in words: for the page and the command line alike."""

from typing import Any

from clipforensics.config.attack import WORKING_ATTACK

MOST_LOST = 0.2
"""More clean accuracy lost than this, and a low ASR says nothing: chance is fooled by no trigger."""


def before_and_after(result: dict[str, Any]) -> list[dict[str, str]]:
    """One line per figure: before, after, the interval after, the difference, n; as text."""
    pairs = (result.get("retrieval_after") or {}).get("n")
    rows = [
        _row(f"ASR, {result.get('asr_of') or 'a'} trigger", result, "asr", result.get("n_asr")),
        _row("PSR, targeted pictures", result, "psr", result.get("n_psr_after")),
        _row("Clean accuracy", result, "ca", result.get("n_ca")),
        *_further_triggers(result),
        _row(
            "Recall of the target label", result, "target_recall",
            result.get("n_target_recall_after"),
        ),
        _row("Retrieval, right one first (R@1)", result, "r1", pairs),
        _row("Retrieval, among the first five (R@5)", result, "r5", pairs),
    ]  # fmt: skip
    return [row for row in rows if row]


def no_attack(before: dict[str, Any]) -> str | None:
    """A sentence where there was no working attack to repair."""
    asr = before.get("asr")
    if asr is None or asr >= WORKING_ATTACK:
        return None
    return (
        f"Not a working attack: nothing to repair. Before the run ASR was {asr:.1%} on "
        f"{before.get('n_asr') or 0:,} stamped pictures; under {WORKING_ATTACK:.0%} no improvement is claimed."
    )


def forgotten(was: float | None, now: float | None) -> str | None:
    """A sentence where clean accuracy is gone."""
    if was is None or now is None or was - now <= MOST_LOST:
        return None
    return (
        f"Clean accuracy fell from {was:.1%} to {now:.1%}: this model is no repair. One that has forgotten what "
        "it knew, or has not learned it yet, is fooled by no trigger either, so its ASR says nothing."
    )


def _further_triggers(result: dict[str, Any]) -> list[dict[str, str] | None]:
    """The triggers after the first, which the first row tells of."""
    after = result.get("triggers_after") or {}
    return [
        _pair(
            _called(name), figures["asr"], after[name]["asr"], after[name]["n_asr"],
            (after[name]["asr_low"], after[name]["asr_high"]),
        )
        for name, figures in list((result.get("triggers_before") or {}).items())[1:]
        if name in after
    ]  # fmt: skip


def _called(name: str) -> str:
    """ "found 1" is the first trigger that the hunt found."""
    kind, _, number = name.partition(" ")
    return f"ASR, found trigger {number}" if kind == "found" else f"ASR, {name} trigger"


def _row(title: str, result: dict[str, Any], name: str, n: int | None) -> dict[str, str] | None:
    low, high = result.get(f"{name}_low_after"), result.get(f"{name}_high_after")
    interval = None if low is None or high is None else (low, high)
    return _pair(title, result.get(f"{name}_before"), result.get(f"{name}_after"), n, interval)


def _pair(
    title: str, before: float | None, after: float | None, n: int | None, interval: tuple | None
) -> dict[str, str] | None:
    if before is None or after is None:
        return None
    return {
        "Figure": title, "Before": f"{before:.2%}", "After": f"{after:.2%}",
        "95 % interval after": f"{interval[0]:.2%} to {interval[1]:.2%}" if interval else "",
        "Difference": f"{(after - before) * 100:+.2f} points", "n": f"{n:,}" if n else "",
    }  # fmt: skip
