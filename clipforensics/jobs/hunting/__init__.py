"""Look for triggers in a case: regions that can be pasted, changes that can be inverted."""
