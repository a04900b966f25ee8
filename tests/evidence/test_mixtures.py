"""A mixture by hand: shares, temperatures, names that may come in any order."""

import numpy as np
import pytest

from lesionkit.evidence.mixtures import Mixture


def test_shares_and_temperatures_by_hand():
    a, b = np.array([[0.5, 0.5, 0, 0, 0, 0, 0]]), np.array([[0.9, 0.1, 0, 0, 0, 0, 0]])
    mixture = Mixture({"a": 0.25, "b": 0.75}, {"b": 2.0})
    root = np.sqrt([0.9, 0.1]) / np.sqrt([0.9, 0.1]).sum()  # 0.75, 0.25
    expected = [[0.25 * 0.5 + 0.75 * root[0], 0.25 * 0.5 + 0.75 * root[1], 0, 0, 0, 0, 0]]
    np.testing.assert_allclose(mixture.of({"a": a, "b": b}), expected, atol=1e-12)
    np.testing.assert_array_equal(mixture.of({"b": b, "a": a}), mixture.of({"a": a, "b": b}))
    assert mixture.scaled("a", a) is a
    assert mixture.table().to_dict("list") == {"model": ["a", "b"], "share": [0.25, 0.75], "temperature": [1.0, 2.0]}


def test_the_plain_mean_and_a_stranger():
    p = {name: np.full((2, 7), 1 / 7) for name in "abc"}
    assert Mixture.equal("abc").shares == dict.fromkeys("abc", 1 / 3)
    np.testing.assert_allclose(Mixture.equal("abc").of(p), 1 / 7)
    with pytest.raises(KeyError, match="c"):
        Mixture.equal("ab").of(p)
