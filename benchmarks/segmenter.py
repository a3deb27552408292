"""The bundled small SAM on stickers and patch patterns it never saw."""

from _record import arguments, publish

from clipforensics.data.demo_case import SMALL_SAM_WEIGHTS
from clipforensics.oracle.sam_evaluation import measure
from clipforensics.oracle.segmenter import load_segmenter


def main() -> None:
    """Best IoU among at most 60 masks, for objects and patches."""
    asked = arguments(__doc__ or "", scenes=500)
    figures = measure(load_segmenter("small", SMALL_SAM_WEIGHTS), asked.scenes)
    rows = [{"what": kind, **one} for kind, one in figures.items() if isinstance(one, dict)]
    facts = {kind: one for kind, one in figures.items() if not isinstance(one, dict)}
    publish("segmenter", rows, asked, **facts)


if __name__ == "__main__":
    main()
