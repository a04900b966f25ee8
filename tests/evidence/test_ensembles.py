"""The mean ensemble: by hand, whatever the order of members, and never over different images."""

import numpy as np
import pandas as pd
import pytest

from lesionkit.evidence import ensembles, predictions
from lesionkit.evidence.predictions import PredictionError

from .tables import rows, table


def members(*names: str) -> pd.DataFrame:
    return pd.concat([table(name, rows(14), seed=i) for i, name in enumerate(names)], ignore_index=True)


def test_mean_by_hand():
    described = rows(2)
    one = predictions.build(described, np.eye(7)[[0, 1]], "one")
    two = predictions.build(described, np.eye(7)[[0, 4]], "two")
    result = ensembles.mean(pd.concat([one, two]))
    np.testing.assert_array_equal(predictions.probabilities(result), [[1, 0, 0, 0, 0, 0, 0], [0, 0.5, 0, 0, 0.5, 0, 0]])
    assert list(result.columns) == list(predictions.COLUMNS)
    assert set(result["model"]) == {"ensemble"}
    assert result["image_id"].tolist() == described["image_id"].tolist()


def test_rows_and_members_may_come_in_any_order():
    table = members("a", "b", "c")
    turned = ensembles.mean(table.sample(frac=1, random_state=0)).set_index("image_id")
    straight = ensembles.mean(table).set_index("image_id")
    pd.testing.assert_frame_equal(turned.loc[straight.index], straight)


def test_the_mean_of_one_or_of_equals_is_itself():
    alone = members("a")
    pd.testing.assert_frame_equal(ensembles.mean(alone, name="a mean"), alone.assign(model="a mean"))
    twice = pd.concat([alone, alone.assign(model="b")])
    pd.testing.assert_frame_equal(ensembles.mean(twice), alone.assign(model="ensemble"))


def test_members_must_hold_the_same_images_and_labels():
    table = members("a", "b")
    with pytest.raises(PredictionError, match="b and a do not hold the same images.* first ISIC_0000013"):
        ensembles.mean(table.iloc[:-1])
    with pytest.raises(PredictionError, match="b and a disagree on split of 14 images"):
        ensembles.mean(table.assign(split=np.where(table["model"] == "b", "val", "test")))


def test_an_ensemble_is_no_member_of_itself():
    table = members("a", "b")
    with pytest.raises(PredictionError, match="'ensemble' is already a model"):
        ensembles.mean(pd.concat([table, ensembles.mean(table)]))
    before = table.copy()
    ensembles.mean(table)
    pd.testing.assert_frame_equal(table, before)
