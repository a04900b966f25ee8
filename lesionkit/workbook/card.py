"""What the whole study says, in one table and one page: the leaderboard of everything and the model card."""

import json
from collections.abc import Sequence
from pathlib import PureWindowsPath

import numpy as np
import pandas as pd

from lesionkit.data.records import CLASS_NAMES, DATASETS
from lesionkit.evidence.metrics import METRICS
from lesionkit.evidence.reporting import spoken
from lesionkit.workbook.artifacts import Run
from lesionkit.workbook.findings import WHERE
from lesionkit.workbook.tables import bracketed

SIDES = ("in", "out")  # internal test set; all external images, SCC merged
TASK = "image-classification"
HUB_METRICS = {"accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy", "macro_f1": "f1", "macro_auc": "roc_auc"}
ARCHIVES = (("ham10000", "HAM10000", "test"), ("isic2019", "ISIC 2019 without HAM10000", "external"))
LEAKY = "{}, split by image: lesions stand on both sides"  # internal results are inflated, and say so where they are listed
PHANTOMS = (("phantoms", "Synthetic images", "test"), ("phantoms", "Synthetic images of other sources", "external"))


def leaderboard(run: Run) -> pd.DataFrame:
    """A row a model, by internal balanced accuracy: weights, parameters (millions), image size, views at inference, the epoch
    that was kept, each metric in and out with the ends of its interval (metric_in, metric_in_low, metric_in_high, …)."""
    inside = run.saved_table("03_ensemble", "03_intervals")
    outside = inside.assign(value=np.nan, low=np.nan, high=np.nan)
    if run.study.outside:
        outside = run.saved_table("04_external_validation", "04_intervals")
        outside = outside[(outside["source"] == "all") & (outside["scc"] == "merged")]
    sides = {side: table.set_index(["metric", "model"]) for side, table in zip(SIDES, (inside, outside), strict=True)}
    columns = {
        f"{metric}_{side}{ending}": table.loc[metric, column]
        for metric in METRICS
        for side, table in sides.items()
        for column, ending in {"value": "", "low": "_low", "high": "_high"}.items()
    }
    board = (
        pd.DataFrame(columns).sort_values("balanced_accuracy_in", ascending=False, kind="stable").rename_axis("model")
    )
    facts = pd.DataFrame([_facts(run, name) for name in run.study.backbones]).set_index("model")
    return facts.join(board, how="right").reset_index()


def _facts(run: Run, name: str) -> dict:
    config = json.loads(run.input(f"02_train_backbone with backbone={name}", "models", name, "config.json").read_text())
    return {"model": name, "weights": config["weights"], "parameters_m": round(config["parameters"] / 1e6, 1),
            "size_px": config["study"]["size"], "views": run.study.for_backbone(name).tta, "best_epoch": config["best_epoch"]}  # fmt: skip


def model_card(run: Run, board: pd.DataFrame) -> str:
    """The model card of the ensemble (after Mitchell et al. 2019, arXiv:1810.03993) as Markdown; numbers come from `board`."""
    parts = run.saved_table("01_eda", "01_split").set_index("split")
    ensemble = board.set_index("model").loc["ensemble"]
    lines = [
        f"# Model card: {run.study.title or run.study.name}",
        "**Not a medical device.** For research only: not for diagnosis, triage or any decision about a person.",
        "## Model", _members(run, board),
        "## Intended use",
        "Research on the classification of dermoscopic images of pigmented skin lesions: comparing methods, studying "
        "calibration, generalisation and explanations. Out of scope: clinical photographs, other imaging, lesions of classes "
        "that are not listed, skin tones and sites that the data hardly hold.",
        "## Classes", ", ".join(f"`{dx}` {name}" for dx, name in CLASS_NAMES.items()),
        "## Data", _data(run, parts),
        "## Results", _results(ensemble, SIDES if run.study.outside else SIDES[:1]),
        "## Limits", _limits(run, ensemble),
        "## Licence and citation", _credits(run),
    ]  # fmt: skip
    return "\n\n".join(lines) + "\n"


def front_matter(run: Run, board: pd.DataFrame | None) -> str:
    """The metadata that Hugging Face's hub reads at the head of a model card, between its lines of dashes.

    Results are those of the ensemble; one that is not defined is left out. None: there is no leaderboard yet.
    """
    from huggingface_hub import EvalResult, ModelCardData

    synthetic = run.study.synthetic
    ensemble = pd.Series(dtype=float) if board is None else board.set_index("model").loc["ensemble"]
    sets = _sets(run)
    results = [
        EvalResult(task_type=TASK, task_name="Image Classification", dataset_type=kind, dataset_name=title, dataset_split=split,
                   metric_type=metric, metric_name=name.replace("_", " "), metric_value=round(float(ensemble[f"{name}_{side}"]), 4))
        for side, (kind, title, split) in zip(SIDES, sets, strict=True)
        for name, metric in HUB_METRICS.items() if pd.notna(ensemble.get(f"{name}_{side}"))
    ]  # fmt: skip
    data = ModelCardData(
        language="en", license="mit" if synthetic else "cc-by-nc-4.0", library_name="lesionkit", pipeline_tag=TASK,
        tags=["dermoscopy", "skin-lesion-classification", "medical-imaging", "ensemble", "timm", *(["synthetic"] if synthetic else [])],
        datasets=None if synthetic else [kind for kind, *_ in sets[:1]], metrics=list(dict.fromkeys(HUB_METRICS.values())),
        model_name=run.study.name, eval_results=results or None,
    )  # fmt: skip
    return f"---\n{data.to_yaml()}\n---\n\n"


def _sets(run: Run) -> tuple[tuple[str, str, str], ...]:
    """Internal and external test images: what the Hub calls them, their name, and the split."""
    study = run.study
    inside, outside = PHANTOMS if study.synthetic else ARCHIVES
    if study.split == "image_leaky":
        inside = (inside[0], LEAKY.format(inside[1]), inside[2])
    return inside, ("own", _own(run), "external") if study.own_images else outside


def _own(run: Run) -> str:
    """Somebody's own images, by the name of their table alone: the card is public."""
    return f"own images ({PureWindowsPath(run.study.external).stem})"


def _members(run: Run, board: pd.DataFrame) -> str:
    members = board[board["model"] != "ensemble"]
    rows = [
        f"- `{m.model}`: {m.parameters_m} M parameters, {m.size_px:.0f} px, initial weights: {m.weights}"
        for m in members.itertuples()
    ]
    how = "unweighted mean" if run.study.ensemble == "mean" else "mean, by weights fitted on validation,"
    return f"The ensemble is the {how} of the probabilities of:\n\n" + "\n".join(rows)


def _data(run: Run, parts: pd.DataFrame) -> str:
    counts = ", ".join(f"{row.images:,} {part}" for part, row in parts.iterrows())
    if run.study.synthetic:
        return f"Synthetic images drawn by this package ({counts}). Nothing here was learned from, or tested on, skin."
    how = "by lesion" if run.study.split == "lesion" else "by image, so that lesions stand on both sides (**leaky**)"
    confirmed = "Labels as released, not all confirmed by histopathology."
    if not run.study.outside:
        return f"{counts} images; HAM10000 was split {how}; there are no external images. {confirmed}"
    outside = _own(run) if run.study.own_images else "ISIC 2019"
    return (f"{counts} images; HAM10000 was split {how}, the external images are {outside} without HAM10000. "
            f"AK and SCC{' of ISIC 2019' * (not run.study.own_images)} both count as `akiec`. {confirmed}")  # fmt: skip


def _results(ensemble: pd.Series, sides: Sequence[str]) -> str:
    titles = [{"in": "internal test", "out": "external"}[side] for side in sides]
    rows = [f"| metric | {' | '.join(titles)} |", "|---|" + "--:|" * len(sides)]
    rows += [
        "| " + " | ".join([m.replace("_", " "), *(_cell(ensemble, m, side) for side in sides)]) + " |" for m in METRICS
    ]
    return "\n".join(rows)


def _limits(run: Run, ensemble: pd.Series) -> str:
    lost = ensemble["balanced_accuracy_in"] - ensemble["balanced_accuracy_out"]
    missed = 1 - ensemble["melanoma_sensitivity_out"]
    change = "by an amount that is not defined here" if pd.isna(lost) else f"by {-lost:+.3f}"
    share = "An unknown share" if pd.isna(missed) else f"{missed:.0%}"
    outside = [
        f"- Balanced accuracy changes {change} from the internal test set to other archives: expect no better elsewhere.",
        f"- {share} of the external melanomas are called something else at the model's own call.",
    ]
    limits = [
        *(outside if run.study.outside else ["- Tested on images of the archive that it learnt from: expect worse elsewhere."]),
        "- Brackets are 95 % intervals over lesions of one split and one training; another training would differ beyond them.",
        "- Only the seven classes exist for the model: every image gets one of them, whatever it shows.",
    ]
    if run.study.split == "image_leaky":
        limits.append("- **The split is by image**: internal figures are inflated by lesions that stand on both sides.")
    return "\n".join(limits)


def _credits(run: Run) -> str:
    if run.study.synthetic:
        return "Synthetic images: no third-party data."
    used = [record for name, record in DATASETS.items() if name == "ham10000" or (run.study.outside and not run.study.own_images)]
    lines = [f"- {record.title}: {record.licence}. {' '.join(record.citations)}" for record in used]
    return "\n".join([*lines, *([f"- External: {_own(run)}, whose licence is their owner's."] if run.study.own_images else [])])


def summary(board: pd.DataFrame) -> str:
    """The README's table of results from `06_leaderboard`, as Markdown."""
    shown = ("balanced_accuracy", "macro_f1", "macro_auc", "melanoma_sensitivity")
    head = ["model", *(f"{m.replace('_', ' ')} {side}" for m in shown for side in SIDES)]
    rows = ["| " + " | ".join(head) + " |", "|---|" + "---|" * (2 * len(shown))]
    for _, row in board.iterrows():
        cells = (_cell(row, metric, side, digits=2) for metric in shown for side in SIDES)
        rows.append("| " + " | ".join([row["model"], *cells]) + " |")
    return "\n".join(rows)


def gain(gained: pd.DataFrame) -> str:
    """The README's table of what candidates change, from `07_gains` of a study, as Markdown: a row a side, metric and candidate."""
    rows = ["| where | metric | model | value | before | difference | p, Holm |", "|---|---|---|--:|--:|--:|--:|"]
    before = gained.set_index(["split", "metric", "model"])["value"]
    for row in gained[gained["after"].fillna("") != ""].itertuples():
        difference = spoken(gained, "difference", sign=True, split=row.split, metric=row.metric, model=row.model)
        earlier = before[(row.split, row.metric, row.after)]
        cells = [
            WHERE[row.split], row.metric.replace("_", " "), row.model,
            f"{row.value:.3f}", f"{earlier:.3f}", difference, f"{row.p_holm:.2g}",
        ]  # fmt: skip
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _cell(row: pd.Series, metric: str, side: str, digits: int = 3) -> str:
    name = f"{metric}_{side}"
    return bracketed(row[name], row[f"{name}_low"], row[f"{name}_high"], digits)
