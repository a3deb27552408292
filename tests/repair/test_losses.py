"""Losses against hand-worked figures and slow NumPy loops, values and gradients."""

import numpy as np
import open_clip
import pytest
import torch

from clipforensics.repair.losses import (
    anchor_loss,
    clip_loss,
    cross_loss,
    equal_rows,
    in_modal_loss,
    neighbour_loss,
    pool_loss,
)
from clipforensics.repair.pool import Pool

I1 = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
I2 = torch.tensor([[0.8, 0.6], [0.6, 0.8]])
T1 = torch.tensor([[0.6, 0.8], [0.0, 1.0]])
T2 = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
POOL_I = torch.tensor([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]])
POOL_T = torch.tensor([[0.0, 1.0], [0.8, 0.6], [1.0, 0.0]])
SCALE = 2.0


def pool_of(rows):
    pool = Pool(len(rows), rows.shape[1])
    pool.write(rows)
    return pool


def units(n, d, seed):
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(x)


def slow_ce(a, b, scale, left_out=None):
    """Mean over rows of -log softmax, one number at a time."""
    total = 0.0
    for i in range(len(a)):
        terms = [
            np.exp(scale * float(a[i] @ b[j]))
            for j in range(len(b))
            if left_out is None or i == j or not left_out[i][j]
        ]
        total -= np.log(np.exp(scale * float(a[i] @ b[i])) / sum(terms))
    return total / len(a)


def test_the_unimodal_loss_on_paper():
    found_i, ids_i = pool_of(POOL_I).nearest(I1)
    found_t, ids_t = pool_of(POOL_T).nearest(T1)
    assert ids_i.tolist() == [0, 1]
    assert ids_t.tolist() == [1, 0]
    pictures, texts = neighbour_loss(I2, found_i, SCALE), neighbour_loss(T2, found_t, SCALE)
    assert float(pictures) == pytest.approx(0.618497, abs=1e-6)
    assert float(texts) == pytest.approx(0.524897, abs=1e-6)
    assert float(pictures + texts) / 2 == pytest.approx(0.571697, abs=1e-6)


def test_the_cross_loss_and_the_clip_loss_on_paper():
    assert float(cross_loss(I1, I2, T1, T2, SCALE)) == pytest.approx(0.450491, abs=1e-5)
    assert float(clip_loss(I1, T1, SCALE)) == pytest.approx(0.454060, abs=1e-6)


def test_cleanclips_and_roclips_losses_on_paper():
    assert float(in_modal_loss(I1, I2, T1, T2, SCALE)) == pytest.approx(0.595258, abs=1e-6)
    found, numbers = pool_of(POOL_T).nearest(I1)
    assert numbers.tolist() == [2, 0]
    assert float(pool_loss(I1, found, SCALE)) == pytest.approx(0.126928, abs=1e-6)


def test_clip_loss_equals_open_clip():
    a, b = units(7, 5, 1), units(7, 5, 2)
    theirs = open_clip.ClipLoss()(a, b, torch.tensor(3.0))
    torch.testing.assert_close(clip_loss(a, b, 3.0), theirs)


@pytest.mark.parametrize("seed", range(3))
def test_clip_loss_equals_slow_loops(seed):
    a, b = units(6, 4, seed), units(6, 4, seed + 10)
    tokens = torch.tensor([[1, 2], [3, 4], [1, 2], [5, 6], [3, 4], [7, 8]])
    equal = equal_rows(tokens)
    x, y = a.numpy(), b.numpy()
    for left_out, given in ((None, None), (equal.numpy(), equal)):
        slow = (slow_ce(x, y, 3.0, left_out) + slow_ce(y, x, 3.0, left_out)) / 2
        assert float(clip_loss(a, b, 3.0, given)) == pytest.approx(slow, rel=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_cross_and_neighbour_losses_equal_slow_loops(seed):
    a, b, c, d = (units(5, 4, 10 * seed + i) for i in range(4))
    n = [one.numpy() for one in (a, b, c, d)]
    slow = (slow_ce(n[0], n[3], 2.0) + slow_ce(n[2], n[1], 2.0)) / 2
    assert float(cross_loss(a, b, c, d, 2.0)) == pytest.approx(slow, rel=1e-10)
    assert float(neighbour_loss(a, b, 2.0)) == pytest.approx(slow_ce(n[0], n[1], 2.0), rel=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_in_modal_and_pool_losses_equal_slow_loops(seed):
    a, b, c, d = (units(5, 4, 10 * seed + i) for i in range(4))
    n = [one.numpy() for one in (a, b, c, d)]
    slow = (slow_ce(n[0], n[1], 2.0) + slow_ce(n[2], n[3], 2.0)) / 2
    assert float(in_modal_loss(a, b, c, d, 2.0)) == pytest.approx(slow, rel=1e-10)
    pool = units(9, 4, seed + 50).numpy()
    nearest = [max(range(9), key=lambda j, i=i: float(n[0][i] @ pool[j])) for i in range(5)]
    found, numbers = pool_of(torch.from_numpy(pool).float()).nearest(a.float())
    assert numbers.tolist() == nearest
    k = pool[nearest]
    slow = (slow_ce(n[0], k, 2.0) + slow_ce(k, n[0], 2.0)) / 2
    assert float(pool_loss(a, torch.from_numpy(k), 2.0)) == pytest.approx(slow, rel=1e-10)


def test_gradients_equal_finite_differences():
    a, b = units(4, 3, 5), units(4, 3, 6)
    equal = equal_rows(torch.tensor([[1], [2], [1], [3]]))

    def check(function, *values):
        values = [value.clone().requires_grad_() for value in values]
        assert torch.autograd.gradcheck(function, values, eps=1e-6, atol=1e-6)

    check(lambda x, y: clip_loss(x, y, 2.0, equal), a, b)
    check(lambda x, y: cross_loss(x, y, b, a, 2.0), a, b)
    check(lambda x: neighbour_loss(x, b, 2.0), a)
    check(lambda x, y: in_modal_loss(x, y, b, a.detach(), 2.0), a, b)
    check(lambda x: pool_loss(x, b, 2.0), a)
    check(lambda x: anchor_loss(x, b), a)


@pytest.mark.parametrize("loss", [neighbour_loss, pool_loss])
def test_neighbours_get_no_gradient(loss):
    a, b = units(4, 3, 5).requires_grad_(), units(4, 3, 6).requires_grad_()
    loss(a, b, 2.0).backward()
    assert a.grad is not None
    assert b.grad is None


def test_equal_captions_are_no_negatives():
    same = torch.tensor([[1, 2], [1, 2]])
    # with the only other pair masked, nothing is left to confuse
    assert float(clip_loss(I1, T1, SCALE, equal_rows(same))) == 0.0


def test_the_anchor_is_zero_at_home_and_two_opposite():
    assert float(anchor_loss(I1, I1)) == pytest.approx(0.0)
    assert float(anchor_loss(I1, -I1)) == pytest.approx(2.0)


def test_a_pool_forgets_the_oldest():
    pool = Pool(3, 1)
    pool.write(torch.tensor([[1.0], [2.0]]))
    assert len(pool) == 2
    pool.write(torch.tensor([[3.0], [4.0]]))
    assert sorted(pool.rows[:, 0].tolist()) == [2.0, 3.0, 4.0]
    pool.write(torch.tensor([[5.0]]))
    assert sorted(pool.rows[:, 0].tolist()) == [3.0, 4.0, 5.0]


def test_a_pool_comes_back_from_its_state():
    pool, other = Pool(3, 2), Pool(3, 2)
    pool.write(I1)
    rows, pointers = pool.state()
    other.load_state(rows, pointers)
    for one in (pool, other):
        one.write(T1)
    torch.testing.assert_close(pool.rows, other.rows)
