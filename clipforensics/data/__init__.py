"""Pairs, pictures, labels and the demo world: everything before a model."""
