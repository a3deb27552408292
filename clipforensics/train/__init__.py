"""One straight training loop, rate curves, and evaluation (clean accuracy, attack success rate)."""
