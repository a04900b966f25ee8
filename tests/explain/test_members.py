"""Members explained on the same images: each as it sees them, their maps at one size, and their weighted mean."""

from dataclasses import replace

import numpy as np
import pytest
from explain.saved import saved_run
from toys import toy

from lesionkit.explain import members as of_members
from lesionkit.explain.cams import cam_maps
from lesionkit.explain.members import Member, member_maps, open_members, resized, with_ensemble
from lesionkit.learning import inference

SIZES = {"baseline_cnn": 32, "test_resnet": 64}
IDS, TARGETS = ["img3", "img0", "img7"], [3, 0, 1]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A function from image ids to the members of a run, and the stores that they read."""
    run = saved_run(tmp_path_factory.mktemp("run"), SIZES, tta=8)
    stores = {size: toy(size=size)[0] for size in SIZES.values()}
    folders = {name: run / "models" / name for name in SIZES}
    return lambda ids: open_members(folders, lambda config: stores[config["study"]["size"]], ids), stores


def test_each_member_has_its_own_pixels_of_the_images_in_their_order(opened):
    members, stores = opened[0](IDS), opened[1]
    assert list(members) == list(SIZES)
    for name, one in members.items():
        store = stores[SIZES[name]]
        assert one.name == name and one.images.dtype == np.uint8
        assert np.array_equal(one.images, store.images[[store.image_ids.index(i) for i in IDS]])


def test_a_member_predicts_in_one_view(opened):
    for one in opened[0](IDS).values():
        expected = inference.predict(one.model, one.config, one.images, views=1)
        assert np.array_equal(one.predict(one.images), expected) and expected.shape == (3, 7)
        sure = replace(one, temperature=0.5).predict(one.images)
        np.testing.assert_allclose(sure, expected**2 / (expected**2).sum(1, keepdims=True), atol=1e-6)


def test_maps_are_those_of_the_member_at_one_size_and_do_not_depend_on_the_order_of_images(opened):
    members = opened[0](IDS)
    maps = member_maps(members, TARGETS, 32, method="layercam")
    assert list(maps) == [*SIZES, "ensemble"]
    assert all(m.shape == (3, 32, 32) and m.dtype == np.float32 for m in maps.values())
    assert all(0 <= m.min() and m.max() <= 1 for m in maps.values())
    for name, one in members.items():
        alone = cam_maps(one.model, one.config, one.images, TARGETS, ("layercam",))["layercam"]
        assert alone.any() and np.array_equal(maps[name], resized(alone, 32))
    again = member_maps(opened[0](IDS[::-1]), TARGETS[::-1], 32, method="layercam")
    assert all(np.allclose(again[name][::-1], maps[name], atol=1e-4) for name in maps)


def planted(monkeypatch):
    """Two members whose maps are known: `a` looks top right, `b` bottom left."""
    maps = {"a": [[0, 1], [0, 0]], "b": [[0, 0], [1, 0]]}
    monkeypatch.setattr(of_members, "cam_maps", lambda model, *_: {"gradcam": np.array([maps[model]], np.float32)})
    return {name: Member(name, name, {}, np.zeros((1, 2, 2, 3), np.uint8)) for name in maps}


@pytest.mark.parametrize("weights, expected", [
    (None, [[0, 1], [1, 0]]), ({"b": 1, "a": 3}, [[0, 1], [1 / 3, 0]]),
    ({"a": 0.0, "b": 0.2, "c": 9}, [[0, 0], [1, 0]]),
])  # fmt: skip
def test_the_ensembles_map_weighs_members_by_name(monkeypatch, weights, expected):
    maps = member_maps(planted(monkeypatch), [0], 2, weights=weights)
    assert maps["ensemble"][0] == pytest.approx(np.array(expected))
    assert maps["a"][0].tolist() == [[0, 1], [0, 0]]  # a member's own map has no weight


def test_a_member_without_a_weight_is_named(monkeypatch):
    with pytest.raises(ValueError, match="no weight of b: give each member one"):
        member_maps(planted(monkeypatch), [0], 2, weights={"a": 1.0})


def test_an_ensembles_map_is_added_to_maps_of_several_sizes_which_stay_as_they_are():
    maps = {"a": np.zeros((1, 2, 2), np.float32), "b": np.zeros((1, 4, 4), np.float32)}
    maps["b"][:, :2, :2] = 1
    found = with_ensemble(maps, 4, {"a": 1, "b": 1})
    assert list(found) == ["a", "b", "ensemble"] and found["a"] is maps["a"] and found["b"] is maps["b"]
    assert found["ensemble"] == pytest.approx(maps["b"])  # half of it, and stretched again


def test_resizing_keeps_what_lies_where():
    maps = np.zeros((1, 4, 4), np.float32)
    maps[0, 0, 0] = 1
    assert resized(maps, 4) is maps
    small, large = resized(maps, 2)[0], resized(maps, 8)[0]
    assert small[0, 0] == small.max() > 0 and small[1, 1] == 0
    peak = np.unravel_index(large.argmax(), large.shape)
    assert peak in {(0, 0), (0, 1), (1, 0), (1, 1)} and large[4:, 4:].max() == 0
