"""Probabilities for images, from a trained backbone; with test-time augmentation if asked for."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
from safetensors.torch import load_file
from scipy.special import logsumexp, softmax
from torch import nn
from torch.overrides import TorchFunctionMode

from lesionkit.data.decoding import Input, UnreadableImage, decode
from lesionkit.data.pixels import Pixels
from lesionkit.data.records import CLASSES
from lesionkit.evidence.mixtures import Mixture
from lesionkit.learning import exported, networks
from lesionkit.learning.augmentation import normalise, to_float
from lesionkit.learning.batches import ahead
from lesionkit.learning.machine import default_device, keep_memory, threads

DRAWING = {torch.Tensor.uniform_, torch.Tensor.normal_, torch.Tensor.erfinv_,
           nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_}  # fmt: skip
ZOOM = 0.75  # of the side: the larger view of 16
CHUNK = 512  # images read from the store, or decoded, at a time
Member = tuple[nn.Module, dict[str, Any], int]  # a model, its config, and how many views it averages


def load(folder: Path, device: str | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """The trained model of a folder `models/<backbone>/`, in evaluation mode, and its config.json.

    Raises what `config_of` raises, and ValueError where the weights do not fit the network that is built here.
    """
    config = config_of(folder)
    keep_memory()
    with _Undrawn():
        model, _ = networks.build(config["backbone"], config["study"]["size"], "none")
    try:
        model.load_state_dict(load_file(Path(folder) / "weights.safetensors"))
    except RuntimeError as error:  # timm builds it otherwise than the version that trained it
        made = ", ".join(f"{name} {version}" for name, version in config.get("made_with", {}).items() if name in ("timm", "torch"))
        raise ValueError(f"{folder}: the weights do not fit the network that timm {timm.__version__} builds; it was trained "
                         f"with {made or 'another'}: {str(error).splitlines()[-1].strip()}") from error  # fmt: skip
    model = model.to(device or default_device(), memory_format=torch.channels_last)
    return model.eval().requires_grad_(False), config


def config_of(folder: Path) -> dict[str, Any]:
    """The config.json of a folder `models/<backbone>/`.

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
    return config


class _Undrawn(TorchFunctionMode):
    """Inside, a network is built without drawing its weights, which are loaded next: of a ViT-B/16 that takes a second."""

    def __torch_function__(self, function: Callable, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        return (args or (kwargs["tensor"],))[0] if function in DRAWING else function(*args, **(kwargs or {}))


@torch.inference_mode()
def logits_of_members(members: Sequence[Member], images: np.ndarray, batch_size: int = 64) -> list[np.ndarray]:
    """Of each member, logits (views, n, 7), float64, of uint8 images (n, size, size, 3); the first view is the image.

    One pass over the images, whatever the number of members: a batch is copied, made float and turned once for all. All
    views of an image are in one batch, which holds `batch_size` of them.
    """
    answers: list[list[torch.Tensor]] = [[torch.zeros(views, 0, len(CLASSES))] for _, _, views in members]
    if not (len(members) and len(images)):
        return [answer[0].double().numpy() for answer in answers]
    device = next(members[0][0].parameters()).device
    step = max(1, batch_size // max(views for _, _, views in members))
    batches = ((torch.from_numpy(images[i : i + step]),) for i in range(0, len(images), step))
    with torch.autocast(device.type, enabled=False):  # a training stopped in this kernel may have left it on
        for (batch,) in ahead(batches, str(device)):
            x = to_float(batch, device)  # (B, 3, size, size)
            seen = {views: _turned(x, views) for _, _, views in members}
            for answer, (model, config, views) in zip(answers, members):
                with threads(config["study"].get("threads", 0)):
                    y = model(normalise(seen[views], *config["normalisation"]))  # (views * B, 7)
                answer.append(y.float().view(views, len(x), -1))
    return [torch.cat([part.to(device) for part in answer], 1).cpu().double().numpy() for answer in answers]


def predict_logits(
    model: nn.Module, config: dict[str, Any], images: np.ndarray, views: int = 1, batch_size: int = 64
) -> np.ndarray:
    """Logits (views, n, 7), float64, of uint8 images (n, size, size, 3) in 1, 8 or 16 views (`dihedral_views`); the first is the image."""
    return logits_of_members([(model, config, views)], images, batch_size)[0]


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
    """Probabilities (n, 7), float32, of uint8 images (n, size, size, 3), averaged over 1, 8 or 16 `views`."""
    return averaged(predict_logits(model, config, images, views, batch_size))


def dihedral_views(x: torch.Tensor, count: int) -> list[torch.Tensor]:
    """The batch (n, 3, size, size) itself, its eight dihedral views, or these and, with 16, those of its centre.

    The centre is ZOOM of the side, brought back to the size.
    """
    if count == 1:
        return [x]
    turned = [x.rot90(k, (2, 3)) for k in range(4)]
    turned += [view.flip(3) for view in turned]
    return turned if count == 8 else turned + dihedral_views(_centre(x), 8)


def _centre(x: torch.Tensor) -> torch.Tensor:
    size = x.shape[-1]
    cut = round(size * (1 - ZOOM) / 2)
    part = x[:, :, cut : size - cut, cut : size - cut]
    return nn.functional.interpolate(part, size=(size, size), mode="bilinear", align_corners=False)


def _turned(x: torch.Tensor, count: int) -> torch.Tensor:
    """All views of a batch as one, (count * n, 3, size, size), view by view."""
    return torch.cat(dihedral_views(x, count)).contiguous(memory_format=torch.channels_last)


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
    """`predict_with` the members of the run at `run`. Raises FileNotFoundError where one is not trained."""
    return predict_with(load_members(run, device), files, exported.mixture(run))


def load_members(run: Path, device: str | None = None) -> dict[str, Member]:
    """The trained models of the run at `run`: the backbones of its study, in its order. Raises what `load` raises."""
    study, members = exported.study(run), {}
    for name in study["backbones"]:
        model, config = load(Path(run) / "models" / name, device)
        members[name] = model, config, study["backbone"].get(name, {}).get("tta", study["tta"])
    return members


def predict_with(
    members: Mapping[str, Member], files: Sequence[Path], mixture: Mixture
) -> tuple[pd.DataFrame, list[UnreadableImage]]:
    """One row a file and member, and one of their `mixture`, `ensemble`: file, model, p_akiec … p_vasc, call.

    Each file is decoded once for all members of a size, CHUNK files at a time. Files that are no image have no rows;
    their errors come second.
    """
    errors: dict[Path, UnreadableImage] = {}
    parts = [_predict_chunk(members, files[i : i + CHUNK], mixture, errors) for i in range(0, len(files), CHUNK)]
    columns = ["file", "model", *(f"p_{dx}" for dx in CLASSES), "call"]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    return table, list(errors.values())


def _predict_chunk(
    members: Mapping[str, Member], files: Sequence[Path], mixture: Mixture, errors: dict[Path, UnreadableImage]
) -> pd.DataFrame:
    """The rows of a few files, in their order; those that cannot be read go to `errors`."""
    probabilities = {}
    for key in dict.fromkeys(_seen_at(member) for member in members.values()):
        names = [name for name, member in members.items() if _seen_at(member) == key]
        logits = logits_of_members([members[name] for name in names], _decoded(files, key, errors))
        probabilities |= {name: averaged(one) for name, one in zip(names, logits)}
    probabilities = {name: probabilities[name] for name in members}
    probabilities["ensemble"] = mixture.of(probabilities).astype(np.float32)
    readable = [file for file in files if file not in errors]
    table = pd.concat([_as_table(readable, name, p) for name, p in probabilities.items()])
    return table.sort_index(kind="stable").reset_index(drop=True)


def _seen_at(member: Member) -> Input:
    """How images become what a member sees."""
    return Input.of(member[1]["study"])


def _decoded(files: Sequence[Path], seen: Input, errors: dict[Path, UnreadableImage]) -> np.ndarray:
    """The readable files as uint8 (n, size, size, 3), decoded by a thread a core; adds the others to `errors`."""

    def one(file: Path) -> np.ndarray | None:
        try:
            return decode(file, *seen)
        except UnreadableImage as error:
            errors[file] = error
            return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images = [image for image in pool.map(one, files) if image is not None]
    return np.stack(images) if images else np.zeros((0, seen.size, seen.size, 3), np.uint8)


def _as_table(files: Sequence[Path], name: str, p: np.ndarray) -> pd.DataFrame:
    columns = {f"p_{dx}": p[:, k] for k, dx in enumerate(CLASSES)}
    return pd.DataFrame(
        {"file": [str(f) for f in files], "model": name, **columns, "call": np.take(CLASSES, p.argmax(1))}
    )
