"""The command line: every action of every page as a command."""
