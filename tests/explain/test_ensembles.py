"""The members' mean map and their disagreement, by hand."""

import numpy as np
import pytest

from lesionkit.explain.ensembles import disagreement, ensemble_map

TWO = np.array([[[[0.0, 0.5], [1.0, 1.0]]], [[[1.0, 0.5], [0.0, 1.0]]]])  # 2 members, 1 image


def test_the_ensemble_map_by_hand():
    assert np.allclose(ensemble_map(TWO), [[[0, 0], [0, 1]]])  # mean .5 .5 .5 1
    assert np.allclose(ensemble_map(TWO, [3, 1]), [[[0, 1 / 3], [2 / 3, 1]]])  # mean .25 .5 .75 1
    assert np.allclose(ensemble_map(TWO, [0, 5]), TWO[1]) and ensemble_map(TWO).dtype == np.float32
    opposite = np.stack([TWO[0], 1 - TWO[0]])
    assert not ensemble_map(opposite).any() and not ensemble_map(np.zeros((2, 3, 4, 5))).any()


def test_the_disagreement_by_hand():
    assert np.allclose(disagreement(TWO), [[[1, 0], [1, 0]]])  # half says 0, half 1
    assert np.allclose(disagreement(TWO, [3, 1]), [[[3**0.5 / 2, 0], [3**0.5 / 2, 0]]])  # 2 sqrt(3/4 x 1/4)
    assert not disagreement(TWO, [0, 5]).any() and disagreement(TWO).dtype == np.float32
    three = np.array([0.0, 0.25, 1.0])[:, None, None, None] * np.ones((3, 1, 4, 5))
    assert np.allclose(disagreement(three), 2 * np.std([0, 0.25, 1]))


def test_members_in_another_order_disagree_as_much():
    maps = np.random.default_rng(0).random((4, 3, 5, 6))
    assert np.allclose(disagreement(maps, [1, 2, 3, 4]), disagreement(maps[::-1], [4, 3, 2, 1]))
    assert np.allclose(disagreement(maps), disagreement(1 - maps), atol=1e-6)
    assert disagreement(maps).max() <= 1 and not disagreement(maps[:1]).any()


@pytest.mark.parametrize("score", [ensemble_map, disagreement])
@pytest.mark.parametrize("weights", [[1], [0, 0], [1, -1], [1, np.nan]])
def test_an_ensemble_needs_a_weight_a_member(score, weights):
    with pytest.raises(ValueError, match="a weight of 0 or more to each member"):
        score(np.ones((2, 1, 4, 4)), weights)
