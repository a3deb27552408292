"""How lonely an embedding is: arrays in, one score per row out, higher is more suspicious."""

from clipforensics.detect.density import dao, dao_pow, kdist, lid, lof, slof
from clipforensics.detect.forest import isolation_forest
from clipforensics.detect.neighbours import whole_set_graph
from clipforensics.detect.reference import Scores, score
from clipforensics.detect.whole_set import whole_set_lof

__all__ = [
    "Scores",
    "dao",
    "dao_pow",
    "isolation_forest",
    "kdist",
    "lid",
    "lof",
    "score",
    "slof",
    "whole_set_graph",
    "whole_set_lof",
]
