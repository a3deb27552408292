"""Embed a case, score it, and say what its outliers have in common."""
