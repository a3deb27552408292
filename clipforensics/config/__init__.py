"""Frozen settings of every component, shared by forms, files and command lines."""
