"""Every complaint a user can cause, as one tree.

    ForensicsError          say what was needed, what came, where, and what to do
    ├── ConfigError         a setting is out of range, unknown, or contradicts another
    ├── DataError           pairs, pictures, captions, labels or embeddings cannot be used
    ├── ModelError          weights or architecture cannot be loaded safely
    ├── CaseError           a case folder is missing, incomplete, or its evidence changed
    └── RunError            a run cannot start, stop or be read
        └── NotFinite       a training's loss or weights became NaN or infinite

Pages and the command line catch `ForensicsError` and nothing wider; its text is shown as it is.
It is deliberately no `ValueError`, which pydantic would swallow inside a validator.
"""


class ForensicsError(Exception):
    """A problem the user can understand and mend."""


class ConfigError(ForensicsError):
    """A setting is out of range, unknown, or contradicts another."""


class DataError(ForensicsError):
    """Pairs, pictures, captions, labels or embeddings cannot be used."""


class ModelError(ForensicsError):
    """Weights or architecture cannot be loaded safely."""


class CaseError(ForensicsError):
    """A case folder is missing, incomplete, or its evidence changed."""


class RunError(ForensicsError):
    """A run cannot start, stop or be read."""


class NotFinite(RunError):
    """A training's loss or weights became NaN or infinite; going on exactly would meet it again."""
