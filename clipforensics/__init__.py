"""ClipForensics: find, show and repair backdoors in CLIP models."""

__version__ = "0.1.0"
