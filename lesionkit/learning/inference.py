"""Probabilities for images, from a trained backbone; with test-time augmentation if asked for."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from scipy.special import logsumexp, softmax
from torch import nn

from lesionkit.data.pixels import Pixels, UnreadableImage, decode
from lesionkit.data.records import CLASSES
from lesionkit.learning import networks
from lesionkit.learning.batches import normalise, to_float
from lesionkit.learning.training import default_device

CHUNK = 512  # images read from the store at a time


def load(folder: Path, device: str | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """The trained model of a folder models/<backbone>/, in evaluation mode, and its config.json.

    Raises FileNotFoundError where training has not finished there, ValueError where the classes are not ours.
    """
    file = Path(folder) / "config.json"
    if not file.exists():
        raise FileNotFoundError(f"no trained model in {folder}: run notebook 02_train_backbone for it first")
    config = json.loads(file.read_text())
    if tuple(config["classes"]) != CLASSES:
        raise ValueError(
            f"{file}: the classes are {config['classes']}, not {list(CLASSES)}: train it with this version"
        )
    model, _ = networks.build(config["backbone"], config["study"]["size"], "none")
    model.load_state_dict(load_file(Path(folder) / "weights.safetensors"))
    model = model.to(device or default_device(), memory_format=torch.channels_last)
    return model.eval().requires_grad_(False), config


@torch.inference_mode()
def predict_logits(
    model: nn.Module, config: dict[str, Any], images: np.ndarray, views: int = 1, batch_size: int = 64
) -> np.ndarray:
    """Logits (views, n, 7), float64, of uint8 images (n, size, size, 3) in 1 or 8 dihedral views; the first is the image."""
    device = next(model.parameters()).device
    mean, std = config["normalisation"]
    if not len(images):
        return np.zeros((views, 0, len(CLASSES)))
    with torch.autocast(device.type, enabled=False):  # a training stopped in this kernel may have left it on
        batches = [
            torch.stack([model(view) for view in dihedral_views(x, views)])  # (views, B, 7)
            for x in (
                normalise(to_float(images[i : i + batch_size], device), mean, std)
                for i in range(0, len(images), batch_size)
            )
        ]
    return torch.cat(batches, 1).cpu().double().numpy()


def averaged(logits: np.ndarray) -> np.ndarray:
    """Probabilities (n, 7), float32: the mean over the views of the softmax of logits (views, n, 7)."""
    return softmax(logits, axis=2).mean(axis=0).astype(np.float32)


def energy(logits: np.ndarray) -> np.ndarray:
    """Log-sum-exp of logits (views, n, 7), averaged over the views: (n,) float32, low where no class is supported.

    The negative of the energy score at temperature 1 of Liu et al., Energy-based Out-of-distribution Detection,
    NeurIPS 2020.
    """
    return logsumexp(logits, axis=2).mean(axis=0).astype(np.float32)


def predict(
    model: nn.Module, config: dict[str, Any], images: np.ndarray, views: int = 1, batch_size: int = 64
) -> np.ndarray:
    """Probabilities (n, 7), float32, of uint8 images (n, size, size, 3), averaged over 1 or 8 dihedral `views`."""
    return averaged(predict_logits(model, config, images, views, batch_size))


def predict_views(model: nn.Module, config: dict[str, Any], images: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Probabilities (8, n, 7), float32, of each of the eight dihedral views of uint8 images (n, size, size, 3)."""
    return softmax(predict_logits(model, config, images, 8, batch_size), axis=2).astype(np.float32)


def dihedral_views(x: torch.Tensor, count: int) -> list[torch.Tensor]:
    """The batch (n, 3, size, size) itself, or its eight dihedral views."""
    if count == 1:
        return [x]
    turned = [x.rot90(k, (2, 3)) for k in range(4)]
    return turned + [view.flip(3) for view in turned]


def logits_of_rows(
    model: nn.Module, config: dict[str, Any], pixels: Pixels, image_ids: Sequence[str], views: int = 1
) -> np.ndarray:
    """Logits (views, n, 7) of images in the store, in the order of `image_ids`."""
    rows = pixels.rows(image_ids)
    chunks = [
        predict_logits(model, config, np.asarray(pixels.images[rows[i : i + CHUNK]]), views)
        for i in range(0, len(rows), CHUNK)
    ]
    return np.concatenate([np.zeros((views, 0, len(CLASSES))), *chunks], axis=1)


def predict_rows(
    model: nn.Module, config: dict[str, Any], pixels: Pixels, image_ids: Sequence[str], views: int = 1
) -> np.ndarray:
    """Probabilities (n, 7) of images in the store, in the order of `image_ids`."""
    return averaged(logits_of_rows(model, config, pixels, image_ids, views))


def predict_files(
    run: Path, files: Sequence[Path], device: str | None = None
) -> tuple[pd.DataFrame, list[UnreadableImage]]:
    """One row a file and member of the run at `run`, and a row for their mean, `ensemble`: file, model, p_akiec … p_vasc, call.

    Members are the backbones of the run's study. Files that are no image have no rows; their errors come second.
    Raises FileNotFoundError where a member is not trained.
    """
    members, decoded, errors = {}, {}, {}
    study = _study(run)
    for name in study["backbones"]:
        model, config = load(Path(run) / "models" / name, device)
        key = (config["study"]["size"], config["study"]["fit"])
        if key not in decoded:
            decoded[key] = _decoded(files, *key, errors)
        views = study["backbone"].get(name, {}).get("tta", study["tta"])
        members[name] = predict(model, config, decoded[key], views)
    members["ensemble"] = np.mean(list(members.values()), axis=0)
    readable = [file for file in files if file not in errors]
    table = pd.concat([_as_table(readable, name, p) for name, p in members.items()])
    return table.sort_values("file", kind="stable").reset_index(drop=True), list(errors.values())


def _decoded(files: Sequence[Path], size: int, fit: str, errors: dict[Path, UnreadableImage]) -> np.ndarray:
    """The readable files as uint8 (n, size, size, 3); adds the others to `errors`."""
    images = []
    for file in files:
        try:
            images.append(decode(file, size, fit))
        except UnreadableImage as error:
            errors[file] = error
    return np.stack(images) if images else np.zeros((0, size, size, 3), np.uint8)


def _study(run: Path) -> dict[str, Any]:
    """The settings of the study that made a run. Raises FileNotFoundError where none did."""
    file = Path(run) / "study.json"
    if not file.exists():
        raise FileNotFoundError(
            f"no study.json in {run}: give the folder of a run, such as outputs/demo, or run the study first"
        )
    return json.loads(file.read_text())


def _as_table(files: Sequence[Path], name: str, p: np.ndarray) -> pd.DataFrame:
    columns = {f"p_{dx}": p[:, k] for k, dx in enumerate(CLASSES)}
    return pd.DataFrame(
        {"file": [str(f) for f in files], "model": name, **columns, "call": np.take(CLASSES, p.argmax(1))}
    )
