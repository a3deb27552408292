"""The oracle: what a picture itself supports, and where, judged without the suspect."""
