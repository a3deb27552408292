"""Repair."""

from clipforensics.ui import shell

shell.open_page("Repair")
