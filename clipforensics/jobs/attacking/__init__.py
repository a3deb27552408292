"""Poison pairs, train a suspect on them, measure what it does; the demo case."""
