"""Image files explained: the pixels are each member's own, the maps those of the library, at the largest size."""

from pathlib import Path

import numpy as np
import pytest
from explain.saved import photographs, saved_run

from lesionkit.data.decoding import UnreadableImage, decode
from lesionkit.explain import files as of_files
from lesionkit.explain.cams import cam_maps
from lesionkit.explain.ensembles import disagreement, ensemble_map
from lesionkit.explain.files import explained
from lesionkit.explain.members import resized
from lesionkit.learning import inference

SIZES = {"baseline_cnn": 32, "test_resnet": 64, "test_vit": 32}
TARGETS = [4, 0, 4]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """The models of a run, and three image files."""
    base = tmp_path_factory.mktemp("given")
    run = saved_run(base / "run", SIZES, fit="pad")
    return inference.load_members(run), photographs(base, "a.png", "b.jpg", "c.png")


def test_an_explanation_holds_what_the_members_see_and_where(given):
    members, files = given
    found = list(explained(members, files, TARGETS, "layercam"))
    assert len(found) == 3 and list(found[0].maps) == [*SIZES, "ensemble"]
    for i, one in enumerate(found):
        assert np.array_equal(one.image, decode(files[i], 64, "pad"))
        for name, (model, config, _) in members.items():
            own = np.stack([decode(files[i], SIZES[name], "pad")])
            alone = cam_maps(model, config, own, TARGETS[i : i + 1], ("layercam",))["layercam"]
            assert np.allclose(one.maps[name], resized(alone, 64)[0], atol=1e-4)
        maps = np.stack([one.maps[name] for name in SIZES])[:, None]
        assert np.allclose(one.maps["ensemble"], ensemble_map(maps)[0], atol=1e-6)
        assert np.allclose(one.disagreement, disagreement(maps)[0], atol=1e-6) and one.disagreement.any()


def test_files_are_decoded_once_and_chunks_change_nothing(given, monkeypatch):
    whole = list(explained(*given, TARGETS))
    seen = []
    monkeypatch.setattr(of_files, "CHUNK", 2)
    monkeypatch.setattr(of_files, "decode", lambda file, *how: seen.append((file, how[0])) or decode(file, *how))
    apart = list(explained(*given, TARGETS))
    assert sorted(seen) == [(file, size) for file in given[1] for size in (32, 64)]
    for one, other in zip(whole, apart, strict=True):
        assert all(np.allclose(one.maps[name], other.maps[name], atol=1e-4) for name in one.maps)


def test_a_file_that_is_no_image_is_named(given):
    with pytest.raises(UnreadableImage, match="nowhere.jpg"):
        list(explained(given[0], [Path("nowhere.jpg")], [0]))
