"""Where a training stands, and how fast it goes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PLACE = ("step", "phase", "position", "streams")
"""What of it a resumed run takes over, and the seconds of training so far; figures and pace it takes
afresh."""


@dataclass
class Progress:
    """Steps done, in which phase and at which of its batches; the last figures; the loop's own time.

    `streams` counts the steps of each learning-rate curve; `seconds` and `pairs` are of this process's
    steps alone, without evaluations; `earlier` are the seconds of the processes that it goes on from.
    """

    step: int = 0
    phase: int = 0
    position: int = 0
    streams: dict[str, int] = field(default_factory=dict)
    checkpoint: Path | None = None
    evaluation: dict[str, Any] = field(default_factory=dict)
    evaluated_at: int = -1
    seconds: float = 0.0
    pairs: int = 0
    earlier: float = 0.0

    def place(self) -> dict[str, Any]:
        """What `go_on_from` takes, as JSON values."""
        return {name: getattr(self, name) for name in PLACE} | {"seconds": self.all_seconds}

    def go_on_from(self, values: dict[str, Any]) -> None:
        """Take the place of an earlier run."""
        for name in PLACE:
            setattr(self, name, values[name])
        self.earlier = float(values.get("seconds", 0.0))

    def stepped(self, stream: str, pairs: int, seconds: float) -> None:
        """Count one step."""
        self.step += 1
        self.position += 1
        self.streams[stream] = self.streams.get(stream, 0) + 1
        self.pairs += pairs
        self.seconds += seconds

    @property
    def all_seconds(self) -> float:
        """Of all steps that led here."""
        return self.earlier + self.seconds

    @property
    def pairs_per_second(self) -> float:
        """Of training alone; 0 before the first step."""
        return self.pairs / self.seconds if self.seconds else 0.0

    def pace(self, total: int, batch: int) -> dict[str, float]:
        """Pairs per second, and seconds left at that pace until step `total`."""
        each = self.seconds / max(1, self.pairs)
        left = max(0, total - self.step) * batch * each
        return {"pairs_per_second": 1 / each if each else 0.0, "eta_seconds": left}
