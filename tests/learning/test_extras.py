"""The tables that a trained backbone leaves: predictions with energy, single views, frames cropped away."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from toys import study, toy

from lesionkit.data.records import CLASSES
from lesionkit.evidence import predictions
from lesionkit.learning import extras, inference, networks

P = list(predictions.PROBABILITIES)


@pytest.fixture(scope="module")
def trained():
    """A network with random weights and its config, as `inference.load` gives them."""
    settings = study()
    model, _ = networks.build("baseline_cnn", settings.size)
    config = {"backbone": "baseline_cnn", "normalisation": ((0.5,) * 3, (0.25,) * 3)}
    return model.eval(), config | {"study": {"size": settings.size, "fit": settings.fit}}


@pytest.fixture(scope="module")
def rows():
    """Every image of the toy, the splits mixed."""
    table = toy()[1].assign(dataset="toy")
    table["split"] = np.resize(["val", "test", "external", "test"], len(table))
    return table.assign(lesion_id="l" + table["image_id"], group_id="g" + table["image_id"])


@pytest.mark.parametrize("views", [1, 8, 16])
def test_predictions_are_those_of_predict_rows_and_the_views_average_to_them(trained, rows, views):
    pixels, _ = toy()
    table, apart = extras.scored(*trained, pixels, rows, views)
    assert table["image_id"].tolist() == rows["image_id"].tolist()
    assert table["model"].eq("baseline_cnn").all() and table["group_id"].tolist() == rows["group_id"].tolist()
    expected = inference.predict_rows(*trained, pixels, rows["image_id"], views)
    assert np.allclose(table[P], expected, atol=1e-6) and table["energy"].dtype == np.float32
    predictions.check(table)
    test = table[table["split"] == "test"].set_index("image_id")
    assert list(apart.columns) == [*extras.DESCRIBED, "version", *P]
    assert len(apart) == 8 * len(test) and set(apart["image_id"]) == set(test.index)
    if views == 8:
        assert np.allclose(apart.groupby("image_id")[P].mean().loc[test.index], test[P], atol=1e-6)
    elif views == 1:
        first = apart[apart["version"] == "view0"].set_index("image_id").loc[test.index, P]
        assert np.allclose(first, test[P], atol=1e-6)


def test_a_view_is_the_prediction_for_the_turned_image(trained, rows):
    pixels, _ = toy()
    _, apart = extras.scored(*trained, pixels, rows)
    one = apart[apart["image_id"] == "img1"].set_index("version")
    image = pixels.images[pixels.rows(["img1"])]
    assert sorted(one.index) == [f"view{k}" for k in range(8)]
    turned = inference.predict(*trained, np.rot90(image, axes=(1, 2)).copy())
    mirrored = inference.predict(*trained, image[:, :, ::-1].copy())
    assert np.allclose(one.loc["view1", P].to_numpy(float), turned, atol=1e-5)
    assert np.allclose(one.loc["view4", P].to_numpy(float), mirrored, atol=1e-5)


def test_no_view_is_computed_twice(trained, rows, monkeypatch):
    seen = []
    true = inference.predict_logits

    def counted(model, config, images, views=1, batch_size=64):
        seen.append(len(images) * views)
        return true(model, config, images, views, batch_size)

    monkeypatch.setattr(inference, "predict_logits", counted)
    extras.scored(*trained, toy()[0], rows, views=1)
    tests = (rows["split"] == "test").sum()
    assert sum(seen) == 8 * tests + len(rows) - tests


def test_without_a_test_image_there_are_no_views(trained, rows):
    table, apart = extras.scored(*trained, toy()[0], rows[rows["split"] == "val"])
    assert len(table) == 21 and apart.empty and list(apart.columns) == [*extras.DESCRIBED, "version", *P]


def test_frames_are_cropped_before_the_model_sees_them(trained, tmp_path):
    y, x = np.mgrid[-1:1:160j, -1:1:160j]
    files = []
    for k, colour in enumerate([(200, 150, 120), (120, 160, 210), (90, 200, 90)]):
        image = np.zeros((160, 160, 3), np.uint8)
        image[np.hypot(x, y) < 0.7] = colour
        files.append(tmp_path / f"e{k}.png")
        Image.fromarray(image).save(files[-1])
    rows = pd.DataFrame({"image_id": ["e0", "e1", "e2"], "dx": "mel", "split": "external", "dataset": "isic2019"})
    rows = rows.assign(lesion_id=rows["image_id"], group_id=rows["image_id"])
    table = extras.unframed(*trained, rows, files)
    plain = np.array([[[(200, 150, 120)]], [[(120, 160, 210)]], [[(90, 200, 90)]]], np.uint8)
    inside = inference.predict(*trained, np.broadcast_to(plain, (3, 32, 32, 3)).copy())
    assert np.allclose(table[P], inside, atol=1e-6) and table["image_id"].tolist() == ["e0", "e1", "e2"]
    assert table["energy"].notna().all() and table["model"].eq("baseline_cnn").all()


def test_no_frame_gives_an_empty_table(trained, rows):
    table = extras.unframed(*trained, rows.iloc[:0], [])
    assert table.empty and set(predictions.COLUMNS) < set(table.columns)


def test_classes_are_in_their_order():
    assert P == [f"p_{name}" for name in CLASSES]
