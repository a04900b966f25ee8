"""What notebooks 05 need of a run: its trained members with the pictures that each sees, outlines and regions of these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lesionkit.data import decoding, frames, masks, pixels
from lesionkit.data.field import Shares
from lesionkit.data.pixels import Pixels
from lesionkit.data.records import CLASSES
from lesionkit.evidence import means, predictions
from lesionkit.explain import cases, localisation, members, regions, sanity, shortcuts
from lesionkit.explain.cams import cam_maps, signs
from lesionkit.explain.ensembles import disagreement
from lesionkit.explain.members import ENSEMBLE, Member
from lesionkit.explain.randomising import twin
from lesionkit.plots.explanations import plot_cam_panel
from lesionkit.workbook.artifacts import Run

TWINS = 3  # random networks that a model's maps are held against: one alone may point anywhere
LOCALISED = 4  # times the study's `scored` images a class: a map is one pass an image, and curves are tens


def store(run: Run, settings: Any) -> Pixels:
    """The decoded pixels of all images of a run, as a study or a model's settings have them."""
    return pixels.build(run.index(), run.data, run.path("cache"), *decoding.Input.of(settings))


def open_members(run: Run, image_ids: Sequence[str], temperatures: Mapping[str, float] = MappingProxyType({})) -> dict[str, Member]:
    """The run's trained backbones with these images, their probabilities scaled by `temperatures`.

    Raises MissingInput for one that is not trained yet.
    """
    folders = {name: run.input(f"02_train_backbone with backbone={name}", "models", name, "config.json").parent
               for name in run.study.backbones}  # fmt: skip
    return members.open_members(folders, lambda config: store(run, config["study"]), image_ids, temperatures)


def outlines(run: Run, image_ids: Sequence[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Lesion masks (n, size, size) bool drawn by people, or by the phantoms' maker, and which images have one: (n,) bool."""
    folder = masks.folder_of(run.data, run.study.masks)
    if folder is None:
        return np.zeros((len(image_ids), size, size), bool), np.zeros(len(image_ids), bool)
    return masks.read(folder, image_ids, size, run.study.fit, boxes(run, image_ids))


def boxes(run: Run, image_ids: Sequence[str]) -> list[Shares] | None:
    """What is left of each image where the study crops the black frame away; None where it does not."""
    if run.study.frame == "keep":
        return None
    paths = run.index().set_index("image_id").loc[list(image_ids), "path"]
    return frames.boxes([run.data / path for path in paths])


@dataclass(frozen=True)
class Gallery:
    """Images with every model's map of the class that the ensemble calls; rows of all parts as those of `seen`."""

    seen: pd.DataFrame  # image_id and call, and what else is known
    images: np.ndarray  # uint8 (n, s, s, 3)
    maps: dict[str, np.ndarray]  # of each member and of the ensemble: (n, s, s)
    calls: dict[str, dict[str, str]]  # model -> image_id -> call
    probabilities: np.ndarray  # the ensemble's, (n, 7)

    @classmethod
    def of(cls, run: Run, scored: pd.DataFrame, seen: pd.DataFrame, shares: Mapping[str, float]) -> "Gallery":
        """The maps of the images of `seen`, by the first of the study's `cams`. scored: predictions, the ensemble's too;
        shares: what each member weighs in it."""
        opened, size = open_members(run, seen["image_id"]), run.study.size
        maps = members.member_maps(opened, pd.Index(CLASSES).get_indexer(seen["call"]), size, run.study.cams[0], shares)
        pictures = np.asarray(store(run, run.study).of(seen["image_id"])[:])
        calls = {name: dict(zip(rows["image_id"], np.take(CLASSES, predictions.probabilities(rows).argmax(1))))
                 for name, rows in scored.groupby("model")}  # fmt: skip
        of_ensemble = scored[scored["model"] == ENSEMBLE].set_index("image_id").loc[seen["image_id"]]
        return cls(seen, pictures, maps, calls, predictions.probabilities(of_ensemble))

    def maps_of(self, image_ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Of each model, the maps (n, s, s) of these images, in this order."""
        at = pd.Index(self.seen["image_id"]).get_indexer(image_ids)
        return {name: of[at] for name, of in self.maps.items()}

    def panel(self, chosen: pd.DataFrame, split: str = "", outcome: str = "") -> Axes:
        """The rows of `chosen` (of this split and outcome), each an image with its maps, calls and probabilities."""
        wanted = (chosen["split"] == (split or chosen["split"])) & (chosen["outcome"] == (outcome or chosen["outcome"]))
        rows = chosen[wanted]
        at = pd.Index(self.seen["image_id"]).get_indexer(rows["image_id"])
        maps = self.maps_of(rows["image_id"])
        apart = disagreement(np.stack([of for name, of in maps.items() if name != ENSEMBLE]))
        labels = [f"{row.call}\np = {row.p:.2f}\n{f'{row.confidence} sure' if split else row.split}" for row in rows.itertuples()]
        calls = {name: [self.calls[name][image] for image in rows["image_id"]] for name in self.maps}
        return plot_cam_panel(self.images[at], maps, rows=labels, truth=list(rows["truth"]), calls=calls, disagreement=apart,
                              probabilities=self.probabilities[at])  # fmt: skip


def gains(scores: pd.DataFrame, by: Sequence[str], count: int, seed: int) -> pd.DataFrame:
    """What maps gain over the baselines in insertion and deletion, above 0 where they do, and the drop and increase.

    scores: a row an image of `faithfulness.scores`, with `cluster` and the columns of `by`. As `means.means`.
    """
    pairs = [pair for order in ("other", "random", "centre")
             for pair in (("insertion", f"insertion_{order}"), (f"deletion_{order}", "deletion"))]  # fmt: skip
    drawn = {"count": count, "seed": seed}
    parts = [means.paired(scores, a, b, by, **drawn) for a, b in pairs]
    return pd.concat([*parts, means.means(scores, ["insertion", "deletion", "drop", "increase"], by, **drawn)], ignore_index=True)


def cascades(run: Run, sample: pd.DataFrame, opened: Mapping[str, Member]) -> pd.DataFrame:
    """`sanity.cascade` of every member by all of the study's `cams`, with a column model."""
    parts = [
        sanity.cascade(one.model, one.config, one.images, sample["target"], run.study.cams, sample["cluster"], seed=run.study.seed)
        .assign(model=name) for name, one in opened.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def outlined(run: Run, scored: pd.DataFrame) -> pd.DataFrame:
    """The study's sample as of `cases.sample_cases`, and of one LOCALISED times as large those with an outline.

    scored: predictions, the ensemble's too. Images without an outline beyond the study's sample would be opened for nothing.
    """
    sample, larger = (cases.sample_cases(scored, per_class=times * run.study.scored, seed=run.study.seed)
                      for times in (1, LOCALISED))  # fmt: skip
    _, found = outlines(run, larger["image_id"], run.study.size)
    return larger[found | larger["image_id"].isin(sample["image_id"])].reset_index(drop=True)


def localised(run: Run, sample: pd.DataFrame, opened: Mapping[str, Member], maps: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """`localisation.scores` of every model, trained and randomised, on the sampled images that have an outline.

    The columns of `sample`, model, twin (trained or randomised), and the scores; those of the randomised twins are the mean
    over TWINS networks with both signs. maps: of each member at its own size, and of the ensemble. Empty where no image has an outline.
    """
    parts, at_size = [], lru_cache(lambda size: outlines(run, sample["image_id"], size))  # most members share theirs
    for name, of_model in maps.items():
        lesions, found = at_size(of_model.shape[1])
        rows = sample[found].reset_index(drop=True).assign(model=name)
        if found.any():
            parts.append(_joined(rows.assign(twin="trained"), localisation.scores(of_model[found], lesions[found])))
        if found.any() and name in opened:
            parts.append(_joined(rows.assign(twin="randomised"), _of_twins(opened[name], rows["target"], lesions, found, run)))
    nothing = pd.DataFrame(columns=[*sample, "model", "twin", *localisation.COLUMNS])
    return pd.concat(parts, ignore_index=True) if parts else nothing


def _of_twins(member: Member, targets: pd.Series, lesions: np.ndarray, found: np.ndarray, run: Run) -> pd.DataFrame:
    """The mean over TWINS random networks, each read with both signs of its logits, of which either is as likely.

    Of each score over the twins for which it is defined; and the energy of each as energy_0, energy_1, ...
    """
    method, tables = run.study.cams[0], []
    for seed in range(run.study.seed, run.study.seed + TWINS):
        network = twin(member.model, member.config, member.images, seed)
        maps = cam_maps(network, member.config, member.images[found], targets, signs(method))
        tables += [localisation.scores(of, lesions[found]) for of in maps.values()]
    return pd.concat(tables).groupby(level=0).mean().assign(**{f"energy_{i}": one["energy"] for i, one in enumerate(tables)})


def energies(scores: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """The energy on the lesion beyond its area, of trained models and of their twins, and beyond that of the twins.

    scores: of `localised`. Columns model, twin (trained, randomised, "trained - randomised"), and those of `means.means`.
    Where twins are in it the interval is over lesions and over the twins, a random network and a sign of its logits each.
    """
    trained, drawn = scores[scores["twin"] == "trained"], {"count": count, "seed": seed}
    found = [means.paired(trained, "energy", "lesion_area", ["model", "twin"], **drawn)]
    for name, twins in scores[scores["twin"] == "randomised"].groupby("model", sort=False):
        of_twins = twins.filter(regex=r"^energy_\d+$").dropna(axis=1).to_numpy()
        own = trained[trained["model"] == name].set_index("image_id")["energy"][twins["image_id"]].to_numpy()
        parts = {("randomised", "energy - lesion_area"): of_twins - twins[["lesion_area"]].to_numpy(),
                 ("trained - randomised", "energy - energy_randomised"): own[:, None] - of_twins}  # fmt: skip
        found += [pd.DataFrame([{"model": name, "twin": kind, "metric": metric, **means.crossed(grid, twins["cluster"], **drawn)}])
                  for (kind, metric), grid in parts.items()]  # fmt: skip
    return pd.concat(found, ignore_index=True)


def regions_of(run: Run, sample: pd.DataFrame, member: Member) -> dict[str, np.ndarray]:
    """The border, and exact masks of what is drawn on phantoms, or guesses of corners, hair and ink on photographs.

    Photographs too small for guesses have the border alone.
    """
    n, size = member.images.shape[:2]
    drawn, ids = None, sample["image_id"]
    if run.study.synthetic:
        drawn = regions.read_artefacts(run.data, ids, size, run.study.fit, boxes(run, ids))
    if drawn is None:
        drawn = regions.detected(member.images) if size >= regions.LEAST else {}
    return {"border": regions.border(n, size)} | drawn


def lesions_of(run: Run, sample: pd.DataFrame, member: Member) -> np.ndarray:
    """The outlines of the images as the member sees them, and guesses where there is none; none for images too small."""
    lesions, found = outlines(run, sample["image_id"], member.images.shape[1])
    if not found.all() and member.images.shape[1] >= regions.LEAST:
        lesions[~found] = regions.lesion(member.images[~found])
    return lesions


def shortcut_scores(run: Run, sample: pd.DataFrame, opened: Mapping[str, Member],
                    maps: Mapping[str, np.ndarray]) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """`shortcuts.scores` and `shortcuts.counterfactual` of every member: the columns of `sample`, model, then theirs."""
    read, removed = [], []
    for name, member in opened.items():
        found, lesions = regions_of(run, sample, member), lesions_of(run, sample, member)
        frame = found[shortcuts.FRAME] if shortcuts.FRAME in found else regions.corners(member.images)
        of_regions = shortcuts.scores(member.predict, member.images, maps[name], sample["target"], found, lesions)
        of_lesion = shortcuts.counterfactual(member.predict, member.images, lesions, sample["target"], frame)
        for parts, scores in ((read, of_regions), (removed, of_lesion)):
            scores = scores.rename(columns={"p": "p_with"}).set_index("image").assign(model=name)
            parts.append(sample.join(scores, how="right").reset_index(drop=True))
    return pd.concat(read, ignore_index=True), pd.concat(removed, ignore_index=True)


def background(scores: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """The background-to-lesion quotient by the class called, of all, and of all but actinic keratosis, as published."""
    groups = {"all": scores, localisation.OTHERS: scores[scores["call"] != "akiec"]}
    groups |= {dx: scores[scores["call"] == dx] for dx in CLASSES if (scores["call"] == dx).any()}
    drawn = {"count": count, "seed": seed}
    parts = []
    for name, rows in groups.items():
        own = means.means(rows, ["background_to_lesion"], **drawn), means.ratio(rows, "background", "lesion", **drawn)
        parts += [table.assign(**{"class": name}) for table in own if len(rows)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["class", *means.COLUMNS])


def _joined(rows: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([rows, scores], axis=1)
