"""Rate curves."""

from hypothesis import given
from hypothesis import strategies as st

from clipforensics.train.schedule import constant, cosine


@given(total=st.integers(1, 200), warmup=st.integers(0, 50))
def test_the_rate_never_rises_after_warm_up_even_past_the_end(total, warmup):
    rate = cosine(1.0, warmup, total)
    after = [rate(k) for k in range(warmup, total + 100)]
    assert all(a >= b for a, b in zip(after, after[1:], strict=False))
    assert rate(max(total, warmup + 1) + 50) < 1e-12


def test_warm_up_climbs_from_one_step_to_the_peak():
    rate = cosine(2.0, 4, 10)
    assert [rate(k) for k in range(5)] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert rate(7) == 1.0


def test_constant_is_constant():
    assert {constant(0.3)(k) for k in range(5)} == {0.3}
