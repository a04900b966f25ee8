"""Does a map depend on what the network learnt? Its weights give way to random ones, from the classifier down.

Cascading randomisation: Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, arXiv:1810.03292. What chance
would decide is taken out of the comparison:

- A random network's batch statistics are those of its own activations. With the 0 and 1 that a network is built with,
  they vanish or explode on the way, its maps are of nothing, and a method passes because the network is broken.
- A random network is read twice, with its logits and with their negatives. A classifier's initial weights are as
  likely as their negatives, and they decide whether a lesion speaks for or against the class: maps of one draw lie on
  all lesions, or on none. The mean of both has no such luck in it.
- The end is reached with several random networks, `twins`, and the verdict's interval takes in how they differ.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from lesionkit.evidence import resampling
from lesionkit.explain.cams import AGAINST, WITHOUT_GRADIENTS, cam_maps
from lesionkit.explain.randomising import randomised, twin
from lesionkit.explain.similarity import correlation, correlation_with_others, ranks, ssim, ssim_with_others

SLIGHT = 0.1  # a rank correlation that small is no resemblance, however sure it is
COLUMNS = ["method", "stage", "randomised", "share", "twin", "image", "cluster",
           "rank_correlation", "ssim", "other_rank_correlation", "other_ssim"]  # fmt: skip


def cascade(model: nn.Module, config: Mapping[str, Any], images: np.ndarray, targets: Sequence[int],
            methods: Sequence[str], clusters: Sequence, *, seed: int = 0, groups: int = 6,
            twins: int = 3) -> pd.DataFrame:  # fmt: skip
    """How like the trained maps those of ever more random networks are: a row a method, stage, twin and image: COLUMNS.

    images: uint8 RGB (n, s, s, 3); targets (n,) as for `cam_maps`; clusters (n,) the lesion of each image. stage: 0
    is the trained model, which is compared with itself; each next one has one more of `layer_groups` from a random
    network, and `randomised` names it; at the last, all is random. share: of the parameters, in [0, 1]. twin: the
    number of the random network; those after the first have the last stage alone. rank_correlation and ssim
    (`similarity`) are the mean of the maps of its logits and of their negatives. other_rank_correlation: the same
    network's maps of images of other lesions against the trained one's of this image, on average (NaN where there is
    no other lesion); other_ssim: that, of the trained model alone.
    Passes of all images, each with a backward pass: groups + twins, that is 9, and for each random
    network one forward pass more where there is batch normalisation. The model is left alone. Errors: `cam_maps`,
    `layer_groups`.
    """
    trained = cam_maps(model, config, images, targets, methods)
    reference = {method: ranks(maps) for method, maps in trained.items()}
    parts = []
    for stage, name, share, number, network in _stages(model, config, images, seed, groups, twins):
        signs = [trained] if stage == 0 else _both_signs(network, config, images, targets, methods)
        for method in methods:
            alike = [_alike(trained[method], reference[method], maps[method], clusters) for maps in signs]
            row = {"method": method, "stage": stage, "randomised": name, "share": share, "twin": number}
            parts.append(pd.DataFrame(row | {key: np.mean([one[key] for one in alike], axis=0) for key in alike[0]}))
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
    rank_correlation and ssim of the wholly random networks, null_rank_correlation and null_ssim of other images,
    neither (random networks and other images: what all maps of the architecture share), yardstick, difference
    (rank_correlation − yardstick), low, high, fails (low > 0), passes (high < 0), note. What neither fails nor passes
    is not decided by these images. Intervals resample lesions and, apart from them, the random networks; they are of
    each row alone, not corrected for how many there are.
    """
    by = [name for name in ("model", "method") if name in cascaded]
    groups = cascaded.groupby(by, sort=False, observed=True)
    return pd.DataFrame([dict(zip(by, key)) | _verdict(rows, count, seed) for key, rows in groups])


def _verdict(rows: pd.DataFrame, count: int, seed: int) -> dict[str, Any]:
    trained = rows[rows["stage"] == 0].set_index("image")
    random = rows[rows["stage"] == rows["stage"].max()]
    grid = random.pivot(index="image", columns="twin", values="rank_correlation").loc[trained.index]  # (n, twins)
    w = _draws(trained["cluster"], grid.shape[1], count, seed)
    table = resampling.summarise(_likeness(trained, grid.to_numpy()), w)
    values, (low, high, note) = table.set_index("metric")["value"], table.iloc[-1][["low", "high", "note"]]
    empty = 1 - values["itself"]
    notes = [note, f"{empty:.0%} of the trained maps are without contrast" if empty > 0.005 else ""]
    found = values.drop(["yardstick", "difference"]).to_dict() | {
        "neither": random["other_rank_correlation"].mean(),
        "ssim": random["ssim"].mean(),
        "null_ssim": trained["other_ssim"].mean(),
    }
    judged = values[["yardstick", "difference"]].to_dict() | {"low": low, "high": high}
    judged |= {"fails": bool(low > 0), "passes": bool(high < 0), "note": "; ".join(filter(None, notes))}
    return {"n": len(trained), **found, **judged}


def _likeness(trained: pd.DataFrame, grid: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Means over images and random networks, the last one the difference, by weights (n + twins, r) of both."""
    itself, null, n = trained["rank_correlation"].to_numpy(), trained["other_rank_correlation"].to_numpy(), len(trained)

    def of(w: np.ndarray) -> dict[str, np.ndarray]:
        images, drawn = w[:n] / w[:n].sum(axis=0), w[n:] / w[n:].sum(axis=0)
        found = {"itself": itself @ images, "rank_correlation": np.einsum("tr,tr->r", grid.T @ images, drawn)}
        found["null_rank_correlation"] = null @ images
        found["yardstick"] = np.minimum(np.maximum(found["null_rank_correlation"], SLIGHT), found["itself"] / 2)
        return found | {"difference": found["rank_correlation"] - found["yardstick"]}

    return of


def _draws(clusters: pd.Series, twins: int, count: int, seed: int) -> np.ndarray:
    """(n + twins, count) how often each image and each random network stands in each resample; all 1 for one lesion."""
    lesions = resampling.draws(clusters, count, seed)
    networks = resampling.draws(range(twins), count, seed + 1)
    return np.vstack([lesions, np.ones_like(networks) if clusters.nunique() == 1 else networks])


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
    against = {method: f"{AGAINST}{method}" for method in methods if method not in WITHOUT_GRADIENTS}
    maps = cam_maps(network, config, images, targets, [*methods, *against.values()])
    return [maps, {method: maps[against.get(method, method)] for method in methods}]


def _alike(trained: np.ndarray, reference: np.ndarray, maps: np.ndarray, clusters: Sequence) -> dict[str, np.ndarray]:
    """(n,) each: the columns of likeness of maps to the trained ones, whose `ranks` are `reference`."""
    found = ranks(maps)
    return {
        "rank_correlation": correlation(reference, found),
        "ssim": ssim(trained, maps),
        "other_rank_correlation": correlation_with_others(reference, found, clusters),
    }
