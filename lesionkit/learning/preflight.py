"""What can be known before hours are spent: that every backbone exists, and that its weights and its tracker can be had."""

from pathlib import Path

from lesionkit.learning import networks, tracking, training
from lesionkit.learning.backbones import backbone
from lesionkit.study import Study


def check(study: Study, models: Path) -> None:
    """Raise ValueError for a backbone that timm does not know, WeightsError for one whose weights cannot be had,
    ImportError for a tracker that is not installed.

    `models` is the run's folder of trained models: those in it ask for no weights, and are not tracked.
    """
    for name in study.backbones:
        own, network = study.for_backbone(name), study.network_of(name)
        backbone(network)
        if training.finished(models / name):
            continue
        tracking.check(own.tracking)
        if network != "baseline_cnn" and own.weights not in ("auto", "none"):
            networks.initial_weights(network, own.weights, own.weights_dir)
