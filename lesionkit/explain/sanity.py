"""Does a map depend on what the network learnt? Its weights give way to random ones, from the classifier down.

Cascading randomisation: Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, arXiv:1810.03292. What chance
would decide is taken out of the comparison:

- A random network's batch statistics are those of its own activations. With the 0 and 1 that a network is built with,
  they vanish or explode on the way, its maps are of nothing, and a method passes because the network is broken.
- A random network is read twice, with its logits and with their negatives. A classifier's initial weights are as
  likely as their negatives, and they decide whether a lesion speaks for or against the class: maps of one draw lie on
  all lesions, or on none. The mean of both has no such luck in it. Since likeness and its opposite cancel in it, the
  correlation's absolute value is taken as well: a map that follows the picture up to its sign is not said to pass.
- A map without contrast resembles nothing. Those of random networks are left out and counted: many of them would
  make a method pass because the network says nothing.
- The end is reached with several random networks, `twins`, and the verdict's interval takes in how they differ.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from lesionkit.evidence import resampling
from lesionkit.explain.cams import cam_maps, signs
from lesionkit.explain.randomising import randomised, twin
from lesionkit.explain.similarity import correlation, correlation_with_others, ranks, ssim, ssim_with_others

SLIGHT = 0.1  # a rank correlation that small is no resemblance, however sure it is
MOST_EMPTY = 0.25  # of random networks' maps: what is left is no sample of them
COLUMNS = ["method", "stage", "randomised", "share", "twin", "image", "cluster", "rank_correlation", "unsigned", "ssim",
           "other_rank_correlation", "other_unsigned", "other_ssim", "empty"]  # fmt: skip


def cascade(model: nn.Module, config: Mapping[str, Any], images: np.ndarray, targets: Sequence[int],
            methods: Sequence[str], clusters: Sequence, *, seed: int = 0, groups: int = 6,
            twins: int = 3) -> pd.DataFrame:  # fmt: skip
    """How like the trained maps those of ever more random networks are: a row a method, stage, twin and image: COLUMNS.

    images: uint8 RGB (n, s, s, 3); targets (n,) as for `cam_maps`; clusters (n,) the lesion of each image. stage: 0
    is the trained model, which is compared with itself; each next one has one more of `layer_groups` from a random
    network, and `randomised` names it; at the last, all is random. share: of the parameters, in [0, 1]. twin: the
    number of the random network; those after the first have the last stage alone. rank_correlation, its absolute
    value unsigned, and ssim (`similarity`) are the mean of the maps of its logits and of their negatives; of those
    without contrast, whose share is empty (0, 0.5 or 1), there is no correlation. other_rank_correlation and
    other_unsigned: the same network's maps of images of other lesions against the trained one's of this image, on
    average (NaN where there is no other lesion); other_ssim: that, of the trained model alone.
    Passes of all images, each with a backward pass: groups + twins, that is 9, and for each random
    network one forward pass more where there is batch normalisation. The model is left alone. Errors: `cam_maps`,
    `layer_groups`.
    """
    trained = cam_maps(model, config, images, targets, methods)
    reference = {method: ranks(maps) for method, maps in trained.items()}
    parts = []
    for stage, name, share, number, network in _stages(model, config, images, seed, groups, twins):
        read = [trained] if stage == 0 else _both_signs(network, config, images, targets, methods)
        for method in methods:
            alike = [_alike(trained[method], reference[method], maps[method], clusters) for maps in read]
            row = {"method": method, "stage": stage, "randomised": name, "share": share, "twin": number}
            parts.append(pd.DataFrame(row | _mean_of(alike)))
            if stage == 0:
                parts[-1]["other_ssim"] = ssim_with_others(trained[method], clusters)
    table = pd.concat([part.assign(image=np.arange(len(part)), cluster=np.asarray(clusters)) for part in parts])
    return table.reindex(columns=COLUMNS).reset_index(drop=True)


def verdicts(cascaded: pd.DataFrame, count: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Which methods give much the same map whether the network is trained or random: a row a (model and) method.

    cascaded: of `cascade`; several models with a column `model`. A method fails on a model where the maps of wholly
    random networks are more like the trained one's than a yardstick: how like it the trained network's maps of other
    images are. Those need this network and not this image; a map that random weights come closer to follows the image
    rather than the network (Arun et al., Radiology: Artificial Intelligence 2021, doi:10.1148/ryai.2021200267). The
    yardstick has bounds: at least SLIGHT, below which nothing resembles anything; at most half of what the trained
    maps are like themselves, since where all images get the same map it would let anything pass, though most of that
    map may need no training.

    Columns: n, itself (likeness of the trained maps to themselves: 1 less the share of those without contrast),
    rank_correlation, unsigned, ssim and empty (share of maps without contrast) of the wholly random networks,
    null_rank_correlation and null_ssim of other images, neither and null_unsigned (random networks and other images,
    with and without sign: what all maps of the architecture share), yardstick, difference (rank_correlation −
    yardstick), low, high, fails (low > 0), passes (high < 0), note. A method does not pass, either, where the unsigned
    likeness of random networks' maps is surely more than SLIGHT above that of their maps of other images; and nothing
    is decided where more than MOST_EMPTY of their maps are empty. What neither fails nor passes is not decided.
    Intervals resample lesions and, apart from them, the random networks; they are of each row alone, not corrected for
    how many there are.
    """
    by = [name for name in ("model", "method") if name in cascaded]
    groups = cascaded.groupby(by, sort=False, observed=True)
    return pd.DataFrame([dict(zip(by, key)) | _verdict(rows, count, seed) for key, rows in groups])


def _verdict(rows: pd.DataFrame, count: int, seed: int) -> dict[str, Any]:
    trained = rows[rows["stage"] == 0].set_index("image")
    random = rows[rows["stage"] == rows["stage"].max()]
    grids = {name: random.pivot(index="image", columns="twin", values=name).loc[trained.index].to_numpy()
             for name in ("rank_correlation", "unsigned", "other_unsigned")}  # fmt: skip
    w = resampling.crossed_draws(trained["cluster"], grids["unsigned"].shape[1], count, seed)
    table = resampling.summarise(_likeness(trained, grids), w).set_index("metric")
    values, (low, high, note) = table["value"], table.loc["difference", ["low", "high", "note"]]
    follows, silent, blank = table.loc["excess", "low"] > SLIGHT, random["empty"].mean(), 1 - values["itself"]
    notes = [note, f"{blank:.0%} of the trained maps are without contrast" if blank > 0.005 else ""]
    notes += [f"{silent:.0%} of the random networks' maps are without contrast" if silent > MOST_EMPTY else ""]
    notes += ["follows the picture, up to the sign" if follows and not low > 0 else ""]
    likenesses = values[["itself", "rank_correlation", "null_rank_correlation", "unsigned", "null_unsigned"]].to_dict()
    of_random = {"neither": random["other_rank_correlation"].mean(), "empty": silent, "ssim": random["ssim"].mean()}
    found = likenesses | of_random | {"null_ssim": trained["other_ssim"].mean()}
    judged = values[["yardstick", "difference"]].to_dict() | {"low": low, "high": high}
    decided = silent <= MOST_EMPTY
    judged |= {"fails": bool(decided and low > 0), "passes": bool(decided and high < 0 and not follows)}
    return {"n": len(trained), **found, **judged, "note": "; ".join(filter(None, notes))}


def _likeness(trained: pd.DataFrame, grids: Mapping[str, np.ndarray]) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Means over images and random networks (n, twins), by weights (n + twins, r) of both; NaN has no weight."""
    itself, null, n = trained["rank_correlation"].to_numpy(), trained["other_rank_correlation"].to_numpy(), len(trained)

    def mean(name: str, w: np.ndarray) -> np.ndarray:
        known = np.isfinite(grids[name])
        sums, counts = (np.einsum("tr,tr->r", part.T @ w[:n], w[n:]) for part in (np.nan_to_num(grids[name]), known))
        return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)

    def of(w: np.ndarray) -> dict[str, np.ndarray]:
        images = w[:n] / w[:n].sum(axis=0)
        found = {"itself": itself @ images, "null_rank_correlation": null @ images}
        found |= {name: mean(name, w) for name in ("rank_correlation", "unsigned")}
        found |= {"null_unsigned": mean("other_unsigned", w)}
        found["yardstick"] = np.minimum(np.maximum(found["null_rank_correlation"], SLIGHT), found["itself"] / 2)
        found["difference"] = found["rank_correlation"] - found["yardstick"]
        return found | {"excess": found["unsigned"] - found["null_unsigned"]}

    return of


def _stages(model: nn.Module, config: Mapping[str, Any], images: np.ndarray, seed: int, groups: int,
            twins: int) -> Iterator[tuple[int, str, float, int, nn.Module]]:  # fmt: skip
    """stage, what was made random last, share of the parameters that are random, number of the twin, network."""
    yield 0, "nothing", 0.0, 0, model
    fresh = twin(model, config, images, seed)
    stage, name = 0, ""
    for stage, (name, share, mixed) in enumerate(randomised(model, fresh, config, images, groups), 1):
        yield stage, name, share, 0, mixed
    for number in range(1, twins):
        yield stage, name, 1.0, number, twin(model, config, images, seed + number)


def _both_signs(network: nn.Module, config: Mapping[str, Any], images: np.ndarray, targets: Sequence[int],
                methods: Sequence[str]) -> list[dict[str, np.ndarray]]:  # fmt: skip
    """The maps of a network, and those of the network with all logits negated."""
    names = {method: signs(method) for method in methods}
    maps = cam_maps(network, config, images, targets, [name for both in names.values() for name in both])
    return [{method: maps[both[i]] for method, both in names.items()} for i in (0, -1)]


def _alike(trained: np.ndarray, reference: np.ndarray, maps: np.ndarray, clusters: Sequence) -> dict[str, np.ndarray]:
    """(n,) each: the columns of likeness of maps to the trained ones, whose `ranks` are `reference`."""
    found = ranks(maps)
    silent = ~found.any(axis=1)
    empty = silent & reference.any(axis=1)  # nothing is like a trained map without contrast
    alike = np.where(empty, np.nan, correlation(reference, found))
    others, unsigned_others = correlation_with_others(reference, found, clusters)
    return {
        "rank_correlation": alike,
        "unsigned": np.abs(alike),
        "ssim": ssim(trained, maps),
        "other_rank_correlation": others,
        "other_unsigned": unsigned_others / max(1 - silent.mean(), 1 / len(found)),  # of those with contrast, too
        "empty": empty.astype(float),
    }


def _mean_of(signed: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The mean of each column over the signs, of those that are known."""
    stacks = {key: np.stack([one[key] for one in signed]) for key in signed[0]}
    known = {key: np.isfinite(stack).sum(axis=0) for key, stack in stacks.items()}
    return {key: np.divide(np.nansum(stack, axis=0), known[key], out=np.full(stack.shape[1], np.nan), where=known[key] > 0)
            for key, stack in stacks.items()}  # fmt: skip
