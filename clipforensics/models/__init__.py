"""CLIP models behind one protocol, loaded without ever unpickling code."""
