"""Where a retraining may start from."""

from clipforensics.errors import ConfigError


def check_start(start: str, fingerprint: str | None, suspect: str | None) -> None:
    """Refuse to start from the suspect.

    Args:
        start: "random", "trusted" or "suspect".
        fingerprint: of the weights to start from, where known.
        suspect: the suspect's fingerprint, where known.

    Raises:
        ConfigError: retraining needs a model that has not yet learned the poison.
    """
    if start == "suspect" or (fingerprint is not None and fingerprint == suspect):
        raise ConfigError(
            "Retraining needs a start that has not learned the poison, got the suspect: "
            "nothing in the method unlearns. Choose random weights or the trusted model."
        )


def check_rows(n: int, batch: int) -> None:
    """Refuse fewer pairs than one batch.

    Raises:
        ConfigError: with both numbers, and the batch that fits.
    """
    if n < batch:
        raise ConfigError(
            f"batch={batch} needs at least as many pairs, got {n:,}. "
            f"Lower the batch to {n:,} or less."
        )
