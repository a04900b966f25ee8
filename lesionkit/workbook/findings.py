"""What a study found, in a dozen sentences with numbers from its tables."""

from functools import partial

import pandas as pd

from lesionkit.evidence.balancing import MATCHED
from lesionkit.evidence.reporting import spoken
from lesionkit.evidence.shift import METHODS
from lesionkit.workbook.artifacts import Run

WHERE = {"test": "inside", "external": "outside"}


def findings(run: Run) -> str:
    """A Markdown list; needs the tables of notebooks 02b to 04b, and says what 05b to 05d found where they have run.

    Intervals are 95 %, over lesions.
    """
    makers = {"02b": "02b_controls", "03": "03_ensemble", "03b": "03b_melanoma", "03c": "03c_calibration",
              "04": "04_external_validation", "04b": "04b_shift",
              "05b": "05b_faithfulness", "05c": "05c_sanity", "05d": "05d_shortcuts"}  # fmt: skip

    def table(name: str) -> pd.DataFrame:
        return run.saved_table(makers[name.split("_")[0]], name)

    told = ("05b_faithfulness", "05c_sanity", "05d_counterfactual", "05d_shortcuts")
    explained = all(run.path("tables", f"{name}.csv").exists() for name in told)
    outside = [partial(_outside, cropped=run.study.frame == "crop")] if run.study.outside else []
    parts = (_controls, _ensemble, _melanoma, _calibration, *outside, *((_explanations,) if explained else ()))
    return "\n".join(f"- {line}" for part in parts for line in part(table)) + "\n"


def _controls(table) -> list[str]:
    share = table("02b_sibling_share").set_index("class")["share"]
    leak, bought = table("02b_leak"), table("02b_balancing")
    bought = bought[(bought["split"] == "test") & (bought["metric"] == "melanoma_sensitivity")]
    worth = "What siblings are worth could not be measured on so few lesions"
    if len(leak):
        worth = (
            f"Siblings in training change the accuracy on the same {leak['n'].max():,.0f} images by "
            f"{spoken(leak, 'difference', sign=True, metric='accuracy')}"
        )
    return [
        f"**The leak.** Under a split by image {share['all']:.0%} of the test images, and {share['mel']:.0%} of the melanomas, "
        "would have a photograph of the same lesion in training (`02b_sibling_share`).",
        f"{worth} (`02b_leak`).",
        "**Balancing.** Class-balanced sampling changes the melanoma sensitivity by "
        f"{spoken(bought, 'difference', sign=True, where='argmax')} at the model's own call, and by "
        f"{spoken(bought, 'difference', sign=True, where=MATCHED)} at a specificity matched on validation (`02b_balancing`).",
    ]


def _ensemble(table) -> list[str]:
    tests = table("03_comparisons").query("test == 'balanced_accuracy'")
    better = tests[(tests["p_holm"] < 0.05) & (tests["estimate"] > 0)]
    five = table("03_ensembles").query("metric == 'balanced_accuracy'").sort_values("value", ascending=False)
    own = "weighted" if "ensemble_mean" in set(five["model"]) else "mean"
    said = ", ".join(
        f"{row['model'].removeprefix('ensemble_').replace('ensemble', own)} {row['value']:.3f}"
        for _, row in five.iterrows()
    )
    return [
        f"**The ensemble.** Its balanced accuracy is above that of {len(better)} of the {tests['p_holm'].notna().sum()} members that could "
        f"be tested, after Holm's correction (`03_comparisons`). Ways to combine: {said} (`03_ensembles`).",
    ]  # fmt: skip


def _melanoma(table) -> list[str]:
    points = table("03b_operating_points").query("model == 'ensemble' and target == 0.9")
    rates = [
        f"{where} it finds {spoken(points, split=split, metric='sensitivity')} at a specificity of "
        f"{spoken(points, split=split, metric='specificity')}"
        for split, where in _sides(points).items()
    ]
    return [
        f"**Melanoma.** The ensemble at the threshold that found 90 % on validation: {'; '.join(rates)} (`03b_operating_points`)."
    ]


def _calibration(table) -> list[str]:
    ece = table("03c_calibration").query("model == 'ensemble' and metric == 'ece'")
    sets = table("03c_conformal").query("kind == 'marginal' and `class` == 'all'").rename(columns={"coverage": "value"})
    scaled = ", and ".join(
        f"from {spoken(ece, split=split, scaling='none')} to {spoken(ece, split=split, scaling='temperature')} {where}"
        for split, where in _sides(ece).items()
    )
    held = " and ".join(f"for {spoken(sets, split=split)} {where}" for split, where in _sides(sets).items())
    return [
        f"**Calibration.** Temperature scaling takes the ensemble's ECE {scaled} (`03c_calibration`).",
        f"**Conformal sets** that promise 90 % hold the truth {held} (`03c_conformal`).",
    ]


def _sides(table: pd.DataFrame) -> dict[str, str]:
    return {split: where for split, where in WHERE.items() if (table["split"] == split).any()}


def _outside(table, cropped: bool) -> list[str]:
    drop, frame, prior = table("04_drop"), table("04b_frame"), table("04b_prior_shift")
    prior = prior[prior["metric"] == "balanced_accuracy"]
    changed = {"difference": "value", "difference_low": "low", "difference_high": "high"}
    prior = prior.drop(columns=["value", "low", "high"]).rename(columns=changed)
    return [
        f"**Outside** the ensemble loses {spoken(drop, 'drop', model='ensemble', metric='balanced_accuracy')} of balanced accuracy "
        f"and {spoken(drop, 'drop', model='ensemble', metric='macro_auc')} of macro AUC (`04_drop`).",
        f"**The frame** {'is cropped from every image before a model sees it.' if cropped else _frame(frame)}",
        "**Prevalence.** Prior correction by EM, which uses the unlabelled external images, changes the balanced accuracy by "
        f"{spoken(prior, sign=True, method=METHODS[-1])} (`04b_prior_shift`).",
    ]


def _frame(frame: pd.DataFrame) -> str:
    n = f"{frame['n'].max():,.0f} " if len(frame) else ""
    return (
        f"is in {n}external images. Cropping it changes the accuracy on them by "
        f"{spoken(frame, 'difference', sign=True, model='ensemble', metric='accuracy')} and the melanoma sensitivity by "
        f"{spoken(frame, 'difference', sign=True, model='ensemble', metric='melanoma_sensitivity')} (`04b_frame`)."
    )


def _explanations(table) -> list[str]:
    gained = table("05b_faithfulness").query("metric == 'insertion - insertion_other'")
    sure = gained.assign(sure=gained["low"] > 0).groupby("split", sort=False)["sure"].agg(["sum", "size"])
    beat = " and ".join(f"{row['sum']} of {row['size']} {WHERE[split]}" for split, row in sure.iterrows())
    verdicts = table("05c_sanity").groupby("method", sort=False)["fails"].agg(["sum", "size"])
    failed = ", ".join(f"{method} on {row['sum']} of {row['size']}" for method, row in verdicts.iterrows())
    removed = table("05d_counterfactual").pivot(index="model", columns="metric", values="value")
    removed = removed.reindex(columns=["kept", "kept_by_chance"])  # by chance: not where no image has its lesion filled
    chance = removed["kept_by_chance"].dropna().map("; {:.0%} by chance".format)
    corners = table("05d_shortcuts").query("metric == 'flipped' and region == 'corners'").set_index("model")["value"]
    kept, flipped = _ends(removed["kept"], chance), _ends(corners, pd.Series(dtype=str))
    filled = f"of the frame, filled from the skin beside them, change the call of {flipped} of the images that have them"
    return [
        f"**Heat maps** carry the called class's probability better than the same model's map of another image for {beat} of the models "
        f"and their ensemble (`05b_faithfulness`). Methods that fail the sanity check: {failed} models (`05c_sanity`).",
        f"**Without the lesion**, filled from the skin around it, models keep their call in {kept} of the images "
        "(`05d_counterfactual`).",
        f"**Black corners** {filled if corners.notna().any() else 'are in none of the images that models see'} (`05d_shortcuts`).",
    ]


def _ends(shares: pd.Series, notes: pd.Series) -> str:
    """The models with the lowest and the highest share, each with its note."""
    known = shares.dropna().sort_values(kind="stable").iloc[[0, -1]] if shares.notna().any() else shares[:0]
    return " to ".join(f"{share:.0%} ({name}{notes.get(name, '')})" for name, share in known.items()) or "not available"
