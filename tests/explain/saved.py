"""Runs with models that nobody has trained, saved where a run keeps its own."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from toys import study

from lesionkit.data.records import CLASSES
from lesionkit.learning.backbones import normalisation
from lesionkit.learning.networks import build


def saved_run(folder: Path, sizes: Mapping[str, int], **settings) -> Path:
    """A run whose members see images of these sizes."""
    settings = study(backbones=list(sizes), **settings)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(json.dumps(asdict(settings)))
    for seed, (name, size) in enumerate(sizes.items()):
        torch.manual_seed(seed)
        model, _ = build(name, size)
        (folder / "models" / name).mkdir(parents=True)
        save_file(model.state_dict(), folder / "models" / name / "weights.safetensors")
        config = {"backbone": name, "classes": CLASSES, "normalisation": normalisation(name),
                  "study": {"size": size, "fit": settings.fit, "threads": 1}}  # fmt: skip
        (folder / "models" / name / "config.json").write_text(json.dumps(config))
    return folder


def photographs(folder: Path, *names: str) -> list[Path]:
    """Image files of noise around a disc, wider than high, all different."""
    y, x = np.mgrid[:48, :64]
    files = []
    for seed, name in enumerate(names):
        image = np.random.default_rng(seed).normal(170, 25, (48, 64, 3))
        image[(y - 24) ** 2 + (x - 20 - 5 * seed) ** 2 < 120] -= 90
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(file)
        files.append(file)
    return files
