"""The case folder: frozen settings, write-once evidence, and the reviewers' decisions."""
