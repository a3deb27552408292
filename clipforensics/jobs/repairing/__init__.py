"""Repair a case's suspect, and compare before with after."""
