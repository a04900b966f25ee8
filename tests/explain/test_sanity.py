"""What looks the same with random weights fails, and what follows the weights passes: planted, by hand and for real."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from lesionkit.data.records import CLASSES
from lesionkit.evidence import resampling
from lesionkit.explain import sanity
from lesionkit.explain.cams import cam_maps
from lesionkit.explain.randomising import randomised, twin
from lesionkit.explain.sanity import cascade, verdicts
from lesionkit.explain.similarity import rank_correlation, ssim
from lesionkit.learning.backbones import normalisation
from lesionkit.learning.networks import build

N, SIZE = 8, 32
NAME = "baseline_cnn"
CONFIG = {"backbone": NAME, "normalisation": normalisation(NAME), "classes": list(CLASSES), "study": {"size": SIZE}}
CLUSTERS = ["a", "a", "b", "c", "d", "e", "f", "g"]
TARGETS = [0, 1, 2, 3, 4, 5, 6, 0]


@pytest.fixture(scope="module")
def images():
    """Noise with a disc of its own place and size in each."""
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    places, sizes = rng.integers(5, 27, (N, 2)), rng.integers(3, 9, N)
    shapes = [(x - a) ** 2 + (y - b) ** 2 < r**2 for (a, b), r in zip(places, sizes)]
    noise = rng.normal(170, 10, (N, SIZE, SIZE, 3)) - 90 * np.array(shapes)[..., None]
    return noise.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build(NAME, SIZE)[0].eval()


def smooth(maps):
    stack = torch.as_tensor(maps, dtype=torch.float32)[:, None]
    return F.avg_pool2d(stack, 5, 1, 2, count_include_pad=False)[:, 0].numpy()


def planted(network, config, images, targets, methods):
    """Maps of the image alone, of the weights and the image, of neither, without contrast, and of the logit's sign."""
    n = len(images)
    with torch.no_grad():
        logits = network(torch.zeros(1, 3, SIZE, SIZE))[0]
        seed = int(1e6 * float(network.classifier.weight.abs().sum()))
    x = images[..., 0] / 255
    disc = smooth(x < 0.5)
    made = {
        "image": disc,
        "weights": np.stack([smooth(np.random.default_rng([seed, i]).random((1, SIZE, SIZE)))[0] for i in range(n)]),
        "frame": np.broadcast_to(np.linspace(0, 1, SIZE), (n, SIZE, SIZE)).astype(np.float32),
        "empty": np.zeros((n, SIZE, SIZE), np.float32),
        "sign": np.stack([disc[i] if logits[k] > 0 else 1 - disc[i] for i, k in enumerate(targets)]),
    }
    made["-sign"] = 1 - made["sign"]
    return {method: made.get(method, made[method.removeprefix("-")]) for method in methods}


@pytest.fixture(scope="module")
def tabled(model, images):
    methods = ["image", "weights", "frame", "empty", "sign"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sanity, "cam_maps", planted)
        return cascade(model, CONFIG, images, TARGETS, methods, CLUSTERS, groups=3, twins=2)


def test_what_ignores_the_weights_fails_and_what_follows_them_passes(tabled):
    table = verdicts(tabled, count=300).set_index("method")
    assert table["fails"].to_dict() == {"image": True, "weights": False, "frame": True, "empty": False, "sign": False}
    assert table["passes"].to_dict() == {"image": False, "weights": True, "frame": False, "empty": False, "sign": False}
    assert table.loc["sign", "note"] == "follows the picture, up to the sign" and table.loc["sign", "high"] < 0
    assert table.loc["sign", "unsigned"] == pytest.approx(1, abs=1e-6) and not table.loc["weights", "note"]
    assert table.loc["image", "rank_correlation"] == pytest.approx(1, abs=1e-6) and not table["empty"].any()
    assert abs(table.loc["weights", "rank_correlation"]) < 0.1


def test_a_map_of_no_image_and_no_weights_is_like_all_others_and_fails_by_half(tabled):
    row = verdicts(tabled, count=50).set_index("method").loc["frame"]
    likenesses = row[["itself", "rank_correlation", "null_rank_correlation", "neither"]]
    assert likenesses.tolist() == pytest.approx([1] * 4, abs=1e-5)
    assert row["yardstick"] == pytest.approx(0.5, abs=1e-5) and row["low"] == pytest.approx(0.5, abs=1e-5)


def test_maps_without_contrast_are_like_nothing_and_are_counted(tabled):
    row = verdicts(tabled, count=50).set_index("method").loc["empty"]
    assert row[["itself", "rank_correlation", "yardstick", "difference"]].tolist() == [0] * 4
    assert row["note"] == "100% of the trained maps are without contrast"
    assert (tabled.loc[tabled["method"] == "empty", "ssim"] == 1).all()  # why verdicts do not rest on it


def test_the_sign_of_a_random_logit_decides_nothing(tabled):
    rows = tabled[(tabled["method"] == "sign") & (tabled["stage"] > 0)]
    np.testing.assert_allclose(rows["rank_correlation"], 0, atol=1e-6)
    np.testing.assert_allclose(rows["unsigned"], 1, atol=1e-6)


def test_maps_of_random_networks_without_contrast_are_left_out_and_counted(model, images, monkeypatch):
    def half_empty(network, config, images, targets, methods):
        maps = planted(network, config, images, targets, ["image"])["image"].copy()
        if network is not model:
            maps[::2] = 0  # as where nothing speaks for the class
        return {method: maps if method == "image" else 1 - maps for method in methods}

    monkeypatch.setattr(sanity, "cam_maps", half_empty)
    monkeypatch.setattr(sanity, "signs", lambda method: [method])
    table = cascade(model, CONFIG, images, TARGETS, ["image"], CLUSTERS, groups=2, twins=2)
    rows = table[table["stage"] > 0]
    assert (rows["empty"] == (rows["image"] % 2 == 0)).all()
    assert (rows["rank_correlation"].isna() == (rows["image"] % 2 == 0)).all()
    np.testing.assert_allclose(rows["rank_correlation"].dropna(), 1, atol=1e-6)
    row = verdicts(table, count=100).iloc[0]
    assert row["empty"] == 0.5 and row["rank_correlation"] == pytest.approx(1) and row["low"] > 0
    assert not row["fails"] and not row["passes"] and "50% of the random" in row["note"]
    monkeypatch.setattr(sanity, "MOST_EMPTY", 0.5)
    assert verdicts(table, count=100).iloc[0]["fails"]


def test_the_table_has_a_row_a_method_stage_twin_and_image(tabled):
    assert list(tabled) == sanity.COLUMNS
    one = tabled[tabled["method"] == "image"]
    assert one.groupby(["stage", "twin"]).size().to_dict() == {(0, 0): N, (1, 0): N, (2, 0): N, (3, 0): N, (3, 1): N}
    stages = one.drop_duplicates("stage").set_index("stage")
    assert stages["randomised"].tolist() == ["nothing", "classifier", "features.5–9", "features.0–3"]
    assert stages["share"].is_monotonic_increasing and stages["share"].iloc[[0, -1]].tolist() == pytest.approx([0, 1])
    assert one["image"].tolist() == list(range(N)) * 5 and one["cluster"].tolist() == CLUSTERS * 5
    trained = tabled[(tabled["stage"] == 0) & (tabled["method"] != "empty")]
    np.testing.assert_allclose(trained[["rank_correlation", "ssim"]], 1, atol=1e-6)


def test_other_images_are_those_of_other_lesions(tabled, images):
    disc = planted_discs(images)
    rows = tabled[(tabled["method"] == "image") & (tabled["stage"] == 0)]
    for i in range(N):
        others = [j for j in range(N) if CLUSTERS[j] != CLUSTERS[i]]
        pairs = np.stack([disc[i]] * len(others)), disc[others]
        assert rows["other_rank_correlation"].iloc[i] == pytest.approx(rank_correlation(*pairs).mean(), abs=1e-5)
        assert rows["other_ssim"].iloc[i] == pytest.approx(ssim(*pairs).mean(), abs=1e-5)
    assert tabled.loc[tabled["stage"] > 0, "other_ssim"].isna().all()


def planted_discs(images):
    return smooth(images[..., 0] / 255 < 0.5)


def test_real_maps_are_compared_with_those_of_the_random_logits_and_their_negatives(model, images):
    methods = ["gradcam", "eigencam"]
    table = cascade(model, CONFIG, images, TARGETS, methods, CLUSTERS, seed=3, groups=2, twins=1)
    trained = cam_maps(model, CONFIG, images, TARGETS, methods)
    fresh = twin(model, CONFIG, images, 3)
    for stage, (_, _, mixed) in enumerate(randomised(model, fresh, CONFIG, images, 2), 1):
        plus = cam_maps(mixed, CONFIG, images, TARGETS, methods)
        with torch.no_grad():
            mixed.classifier.weight.neg_(), mixed.classifier.bias.neg_()
        minus = cam_maps(mixed, CONFIG, images, TARGETS, methods)
        with torch.no_grad():
            mixed.classifier.weight.neg_(), mixed.classifier.bias.neg_()
        for method in methods:
            rows = table[(table["method"] == method) & (table["stage"] == stage)]
            both = np.ma.stack([of_contrast(trained[method], of[method]) for of in (plus, minus)])
            for column, expected in {"rank_correlation": both, "unsigned": abs(both)}.items():
                np.testing.assert_allclose(rows[column], expected.mean(axis=0).filled(np.nan), atol=1e-4)
            expected = (ssim(trained[method], plus[method]) + ssim(trained[method], minus[method])) / 2
            np.testing.assert_allclose(rows["ssim"], expected, atol=1e-4)
    eigen = table[table["method"] == "eigencam"].groupby("stage")["rank_correlation"].mean()
    assert eigen[1] == pytest.approx(1, abs=1e-5) and eigen[2] < 0.999  # a classifier is nothing to it


def of_contrast(trained, maps):
    """Rank correlations, masked where there is a trained map and nothing to compare it with."""
    return np.ma.array(rank_correlation(trained, maps), mask=trained.any((1, 2)) & ~maps.any((1, 2)))


def test_the_same_seed_gives_the_same_table_and_leaves_no_trace(model, images):
    before, rng = {key: value.clone() for key, value in model.state_dict().items()}, torch.get_rng_state()
    few = {"groups": 2, "twins": 1}
    a, b, c = (cascade(model, CONFIG, images, TARGETS, ["gradcam"], CLUSTERS, seed=seed, **few) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(a, b)
    assert not np.allclose(a["rank_correlation"], c["rank_correlation"])
    assert torch.equal(torch.get_rng_state(), rng) and not model._forward_hooks
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())


def table(alike, null, itself=1.0, clusters=None, **columns):
    """A cascade's table from likenesses (n, twins) at its end and those of other images (n,)."""
    alike = np.atleast_2d(np.asarray(alike, float))
    n, twins = alike.shape
    common = {"method": "m", "randomised": "", "share": 0.0, "ssim": 0.5, "other_ssim": 0.2,
              "image": np.arange(n), "unsigned": 0.3, "other_unsigned": 0.25, "empty": 0.0,
              "cluster": np.arange(n) if clusters is None else clusters}  # fmt: skip
    parts = [pd.DataFrame(common | {"stage": 0, "twin": 0, "rank_correlation": itself, "other_rank_correlation": null})]
    end = {"stage": 2, "other_rank_correlation": 0.05}
    parts += [pd.DataFrame(common | end | {"twin": t, "rank_correlation": alike[:, t]}) for t in range(twins)]
    middle = pd.DataFrame(common | {"stage": 1, "twin": 0, "rank_correlation": 0.9, "other_rank_correlation": 0.9})
    return pd.concat([*parts, middle], ignore_index=True).assign(**columns)


@pytest.mark.parametrize("alike, null, itself, yardstick, fails, passes", [
    (0.60, 0.20, 1.0, 0.20, True, False),
    (0.60, 0.90, 1.0, 0.50, True, False),  # all images get the same map
    (0.40, 0.90, 1.0, 0.50, False, True),
    (0.05, 0.00, 1.0, 0.10, False, True),  # more than other images, but slight
    (0.30, 0.20, 0.5, 0.20, True, False),
    (0.20, 0.90, 0.3, 0.15, True, False),
])  # fmt: skip
def test_verdicts_by_hand(alike, null, itself, yardstick, fails, passes):
    row = verdicts(table(np.full((5, 2), alike), np.full(5, null), itself), count=100).iloc[0]
    assert row["yardstick"] == pytest.approx(yardstick) and row["n"] == 5
    assert row[["difference", "low", "high"]].tolist() == pytest.approx([alike - yardstick] * 3)
    assert (row["fails"], row["passes"]) == (fails, passes)
    assert row[["ssim", "null_ssim", "neither"]].tolist() == pytest.approx([0.5, 0.2, 0.05])


def test_intervals_take_in_lesions_and_random_networks():
    rng = np.random.default_rng(0)
    alike, clusters = rng.normal(0.4, 0.2, (12, 3)), np.arange(12) // 2
    row = verdicts(table(alike, np.full(12, 0.3), clusters=clusters), count=400, seed=5).iloc[0]
    lesions, networks = resampling.draws(clusters, 400, 5), resampling.draws(range(3), 400, 6)
    values = [np.average(np.average(alike, axis=0, weights=w), weights=v) for w, v in zip(lesions.T, networks.T)]
    assert row[["low", "high"]].tolist() == pytest.approx(list(np.quantile(values, [0.025, 0.975]) - 0.3))
    split = np.repeat([[0.9, -0.1]], 12, axis=0)  # one network says so, the other not
    open_ = verdicts(table(split, np.full(12, 0.2)), count=400).iloc[0]
    assert open_["difference"] == pytest.approx(0.2) and not open_["fails"] and not open_["passes"]


def test_one_lesion_is_judged_by_nothing():
    row = verdicts(table(np.full((3, 2), 0.9), np.full(3, np.nan), clusters=["a"] * 3), count=20).iloc[0]
    assert not row["fails"] and not row["passes"] and row["note"] == resampling.ALONE and np.isnan(row["low"])
    assert row["rank_correlation"] == pytest.approx(0.9) and np.isnan(row["difference"])


def test_each_model_and_method_has_its_row_in_order():
    high, low = table(np.full((4, 2), 0.9), np.full(4, 0.2)), table(np.full((4, 2), 0.0), np.full(4, 0.2))
    both = pd.concat([high.assign(model="z"), low.assign(model="b"), low.assign(model="z", method="k")])
    before = both.copy()
    result = verdicts(both, count=50)
    assert result[["model", "method"]].to_numpy().tolist() == [["z", "m"], ["b", "m"], ["z", "k"]]
    assert result["fails"].tolist() == [True, False, False]
    pd.testing.assert_frame_equal(both, before)
