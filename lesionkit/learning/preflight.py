"""What can be known before hours are spent: that every backbone exists, and that its weights and its tracker can be had."""

from pathlib import Path

from lesionkit.learning import networks, tracking, training
from lesionkit.learning.backbones import backbone
from lesionkit.learning.networks import WeightsError
from lesionkit.study import Study


def check(study: Study, models: Path, notebooks: Path = Path()) -> None:
    """Raise ValueError for a backbone that timm does not know, WeightsError for one whose weights cannot be had or a weights_dir
    that is no folder, ImportError for a tracker that is not installed.

    `models` is the run's folder of trained models: those in it ask for no weights, and are not tracked. `notebooks`: from where
    the study sees its folders.
    """
    for name in study.backbones:
        own, network = study.for_backbone(name), study.network_of(name)
        backbone(network)
        folder = notebooks / own.weights_dir
        if own.weights_dir and not folder.is_dir():  # of a trained one too: from other weights it would be trained anew
            raise WeightsError(f"{name}: weights_dir is to be {folder.resolve()}, which is no folder: correct it, or leave it out")
        if training.finished(models / name):
            continue
        tracking.check(own.tracking)
        if network != "baseline_cnn" and own.weights not in ("auto", "none"):
            weights = own.weights if own.weights == "imagenet" else str(notebooks / own.weights)
            networks.initial_weights(network, weights, own.weights_dir)
