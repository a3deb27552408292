"""A run is a process and a folder: start it, watch it, stop it, take it up again."""
