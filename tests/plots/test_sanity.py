"""The figures of sanity checks and agreement draw their tables' values, mark what fails and say what is not there."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from lesionkit.explain.cams import METHODS
from lesionkit.plots import sanity

from .checks import drawn

ENDS = {"gradcam": (0.1, 0.2), "eigencam": (0.9, 0.3)}  # likeness at the end, yardstick


def cascaded(*models: str, shift: float = 0.0) -> pd.DataFrame:
    """Two images, likeness 1 at the start, then the end's value with one image 0.05 above and one below it."""
    columns = ["model", "method", "stage", "randomised", "twin", "image", "rank_correlation", "ssim"]
    rows = [
        {"model": model, "method": method, "stage": stage, "randomised": name, "twin": twin, "image": image,
         "rank_correlation": 1.0 if stage == 0 else end + shift * at + (0.05 if image else -0.05), "ssim": 0.5}
        for at, model in enumerate(models) for method, (end, _) in ENDS.items()
        for stage, name, twin in zip([0, 1, 2, 3, 3], ["nothing", "classifier", "layer4", "stem", "stem"], [0, 0, 0, 0, 1])
        for image in range(2)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def verdicts(*models: str) -> pd.DataFrame:
    columns = {"null_ssim": 0.25, "passes": False}
    rows = [{"model": model, "method": method, "yardstick": yardstick, "fails": end > yardstick, **columns}
            for model in models for method, (end, yardstick) in ENDS.items()]  # fmt: skip
    return pd.DataFrame(rows)


def lines(ax) -> dict[str, list]:
    """Of each method: the lines from left to right: its course, what leads to the yardstick, the yardstick."""
    by_colour = {colour.upper(): name for name, colour in sanity.METHOD_COLOURS.items()}
    found: dict[str, list] = {}
    for line in ax.get_lines():
        if name := by_colour.get(to_hex(line.get_color()).upper()):
            found.setdefault(name, []).append(line)
    return found


def ticks(ax) -> list[str]:
    return [one.get_text() for one in ax.get_xticklabels()]


def legend_of(owner) -> list[str]:
    legend = owner.get_legend() if hasattr(owner, "get_legend") else owner.legends[0]
    return [text.get_text() for text in legend.get_texts()]


def test_every_method_has_a_colour_of_its_own_and_a_name():
    assert list(sanity.METHOD_COLOURS) == list(sanity.METHOD_LABELS) == list(METHODS)
    assert len(set(sanity.METHOD_COLOURS.values())) == len(METHODS)


def test_a_line_a_method_leads_to_its_yardstick_and_what_fails_is_dashed():
    table, judged = cascaded("resnet50"), verdicts("resnet50")
    ax = drawn(lambda ax: sanity.plot_sanity(table, judged, ax=ax))
    for method, (end, yardstick) in ENDS.items():
        course, leading, mark = lines(ax)[method]
        np.testing.assert_allclose(course.get_xydata(), [[0, 1], [1, end], [2, end], [3, end]])
        np.testing.assert_allclose(leading.get_xydata(), [[3, end], [4, yardstick]])
        np.testing.assert_allclose(mark.get_xydata(), [[4, yardstick]])
        assert course.get_linestyle() == ("--" if method == "eigencam" else "-")
    assert legend_of(ax) == ["Grad-CAM", "EigenCAM (fails)"]
    assert ticks(ax) == ["trained", "classifier", "layer4", "stem", "yardstick"]
    assert ax.get_ylabel() == "rank correlation with the trained map"


def test_structural_similarity_is_set_beside_that_of_other_images():
    ax = drawn(lambda ax: sanity.plot_sanity(cascaded("resnet50"), verdicts("resnet50"), metric="ssim", ax=ax))
    course, _, mark = lines(ax)["gradcam"]
    assert set(course.get_ydata()) == {0.5} and mark.get_ydata()[0] == 0.25
    assert ticks(ax)[-1] == "other images" and ax.get_ylabel().startswith("structural similarity")


def test_several_models_are_the_mean_of_their_means():
    table = cascaded("resnet50", "densenet121", shift=0.2)
    more = pd.concat([table, table[table["model"] == "resnet50"]])  # more rows of one weigh no more
    table.loc[table["model"] == "densenet121", "randomised"] += "'"
    judged = verdicts("resnet50", "densenet121")
    for of in (table, more):
        ax = sanity.plot_sanity(of, judged)
        assert lines(ax)["gradcam"][0].get_ydata()[-1] == pytest.approx((0.1 + 0.3) / 2)
        assert legend_of(ax) == ["Grad-CAM", "EigenCAM (fails on 2 of 2)"]
    assert ticks(sanity.plot_sanity(table, judged)) == ["trained", "classifier", "all", "yardstick"]
    judged.loc[judged["model"] == "resnet50", "fails"] = False
    ax = sanity.plot_sanity(table, judged)
    assert legend_of(ax)[1] == "EigenCAM (fails on 1 of 2)" and lines(ax)["eigencam"][0].get_linestyle() == "-"
    plt.close("all")


@pytest.mark.parametrize("count, shape", [(1, (1, 1)), (2, (1, 3)), (7, (2, 4)), (8, (3, 3))])
def test_panels_hold_each_model_and_their_mean(count, shape):
    models = [f"model{i}" for i in range(count)]
    before = plt.rcParams["font.size"]
    figure = sanity.sanity_panels(cascaded(*models, shift=0.01), verdicts(*models))
    shown = [ax for ax in figure.axes if ax.axison]
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == shape
    assert [ax.get_title() for ax in shown] == models + ["Mean of the models"] * (count > 1)
    for at, ax in enumerate(shown[:count]):
        assert lines(ax)["eigencam"][0].get_ydata()[-1] == pytest.approx(0.9 + 0.01 * at)
    assert legend_of(figure)[0] == "Grad-CAM" and plt.rcParams["font.size"] == before
    plt.close(figure)


def test_agreement_shows_the_same_image_below_and_other_images_above_the_diagonal():
    columns = ["model_a", "model_b", "image", "rank_correlation", "other_rank_correlation"]
    rows = [["vit_base_patch16_224", "ensemble", 0, 0.5, 0.1], ["vit_base_patch16_224", "ensemble", 1, 0.7, 0.3],
            ["vit_base_patch16_224", "b", 0, -0.2, np.nan], ["ensemble", "b", 0, 0.0, 0.9]]  # fmt: skip
    pairs = pd.DataFrame(rows, columns=columns)
    ax = drawn(lambda ax: sanity.plot_agreement(pairs, ax=ax))
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert cells == {(0, 1): "0.60", (1, 0): "0.20", (0, 2): "−0.20", (2, 0): "NA", (1, 2): "0.00", (2, 1): "0.90"}
    assert [one.get_text() for one in ax.get_yticklabels()] == ["ViT-B/16", "Ensemble", "b"]


def test_nothing_to_draw_is_said():
    empty = drawn(lambda ax: sanity.plot_sanity(cascaded(), verdicts(), ax=ax))
    assert "no map was taken" in empty.texts[0].get_text()
    assert "no map was taken" in sanity.sanity_panels(cascaded(), verdicts()).axes[0].texts[0].get_text()
    pairs = pd.DataFrame(columns=["model_a", "model_b", "image", "rank_correlation", "other_rank_correlation"])
    assert "two models" in drawn(lambda ax: sanity.plot_agreement(pairs, ax=ax)).texts[0].get_text()
