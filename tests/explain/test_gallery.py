"""Members explained on the same images: one size, and their mean."""

import numpy as np
import pytest
from toys import study, toy

from lesionkit.explain.gallery import member_maps, resized
from lesionkit.learning.training import fit


def test_members_and_ensemble_have_maps_of_one_size(tmp_path):
    stores = {}
    for name, size in (("baseline_cnn", 32), ("test_resnet", 64)):
        stores[size] = toy(size=size)[0]
        fit(name, *toy(size=size), study(size=size, epochs=1), tmp_path / name, "cpu")
    folders = {name: tmp_path / name for name in ("baseline_cnn", "test_resnet")}
    ids, targets = ["img3", "img0", "img7"], [3, 0, 1]
    maps = member_maps(folders, lambda config: stores[config["study"]["size"]], ids, targets, 32)
    assert list(maps) == ["baseline_cnn", "test_resnet", "ensemble"]
    assert all(m.shape == (3, 32, 32) and m.min() >= 0 and m.max() <= 1 for m in maps.values())
    mean = (maps["baseline_cnn"] + maps["test_resnet"]) / 2
    for got, expected in zip(maps["ensemble"], mean):
        spread = expected.max() - expected.min()
        assert got == pytest.approx((expected - expected.min()) / spread if spread else 0 * expected, abs=1e-5)
    again = member_maps(folders, lambda config: stores[config["study"]["size"]], ids[::-1], targets[::-1], 32)
    assert np.allclose(again["ensemble"][::-1], maps["ensemble"], atol=1e-4)


def test_resizing_keeps_what_lies_where():
    maps = np.zeros((1, 4, 4), np.float32)
    maps[0, 0, 0] = 1
    assert resized(maps, 4) is maps
    small, large = resized(maps, 2)[0], resized(maps, 8)[0]
    assert small[0, 0] == small.max() > 0 and small[1, 1] == 0
    assert (
        np.unravel_index(large.argmax(), large.shape) in {(0, 0), (0, 1), (1, 0), (1, 1)} and large[4:, 4:].max() == 0
    )
