"""Jobs: detached processes that leave everything they know in a run folder."""
