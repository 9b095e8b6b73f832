"""What untrained networks show of their wiring alone."""

import numpy as np
import pytest
import torch

from lib.studies.untrained import gradient_flow, half_side, influence, untrained_gates


@pytest.fixture
def scenes():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 32, 32, generator=generator)
    return images, torch.randint(0, 5, (2, 32, 32), generator=generator)


def test_what_crosses_a_skip_is_a_part_of_the_gradient(scenes):
    flow = gradient_flow("unet", *scenes, num_classes=5, base_channels=2, seed=0).set_index("level")
    assert list(flow.index) == [0, 1, 2, 3, 4] and (flow.relative > 0).all()
    assert flow.across[:4].between(-1, 2).all() and np.isnan(flow.across[4])
    without = gradient_flow("unet-noskip", *scenes, num_classes=5, base_channels=2, seed=0)
    assert list(without.across[:4]) == [0, 0, 0, 0]


def test_influence_is_shares_of_one_pixel(scenes):
    shares = influence("unet", scenes[0][0], base_channels=2, seed=1)
    assert shares.shape == (32, 32) and shares.sum() == pytest.approx(1) and (shares >= 0).all()


def test_half_side_is_that_of_the_smallest_square():
    point, ring = np.zeros((9, 9)), np.zeros((9, 9))
    point[4, 4] = 1
    ring[2:7, 2:7], ring[3:6, 3:6] = 1 / 16, 0
    assert half_side(point) == 1 and half_side(ring) == 5
    assert half_side(np.full((9, 9), 1 / 81), share=0.1) == 3


def test_every_coefficient_of_every_gate_and_draw_is_there(scenes):
    alpha = untrained_gates(scenes[0], base_channels=2, draws=2)
    assert len(alpha) == 2 * 2 * (32**2 + 16**2 + 8**2 + 4**2)
    assert alpha.min() >= 0 and alpha.max() <= 1
