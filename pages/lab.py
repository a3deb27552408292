"""Attack lab."""

from clipforensics.ui import shell

shell.open_page("Attack lab")
