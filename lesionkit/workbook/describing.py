"""What an exported folder says of itself: lesionkit.json for programs, README.md for people and for the Hugging Face Hub."""

import math
from typing import Any

import pandas as pd

from lesionkit.data.decoding import Input
from lesionkit.data.records import CLASS_NAMES
from lesionkit.learning import exported
from lesionkit.learning.exported import FORMAT, sha256, sha256_of
from lesionkit.learning.inference import Member
from lesionkit.workbook import fitted, provenance
from lesionkit.workbook.artifacts import Run
from lesionkit.workbook.card import front_matter
from lesionkit.workbook.manifest import read_manifest

RESEARCH = "For research only: not a medical device, and not for diagnosis, triage or any decision about a person."
SQUARE = {
    "squash": "image.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3)",
    "pad": 'ImageOps.pad(image, (side, side), Image.Resampling.BILINEAR, "black")',
    "crop": "ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)",
}  # `decode`'s, but for its short cut with JPEG


def about(run: Run) -> dict[str, Any]:
    """lesionkit.json but for what the models themselves and the files say. Raises MissingInput for tables not made yet."""
    temperatures, thresholds = fitted.temperatures(run), fitted.melanoma_thresholds(run)
    members = {name: {"temperature": temperatures.get(name), "melanoma_thresholds": thresholds.get(name, [])}
               for name in run.study.backbones}  # fmt: skip
    mixture = exported.mixture(run.folder)
    ensemble = {"rule": "the mean by shares of the members' probabilities, each made softmax(log(p) / its temperature) before",
                "shares": mixture.shares, "temperatures": dict.fromkeys(mixture.shares, 1.0) | mixture.temperatures,
                "melanoma_thresholds": thresholds.get("ensemble", []), **fitted.as_json(fitted.reference(run))}  # fmt: skip
    ensemble["conformal"]["class_conditional"] = fitted.class_conditional(run)
    counts = run.split()["split"].value_counts(sort=False)
    return {
        "format": FORMAT,
        "study": run.study.name,
        "title": run.study.title,
        "caveats": list(filter(None, (RESEARCH, run.caveat()))),
        "classes": dict(CLASS_NAMES),
        "ensemble": ensemble,
        "ensemble_sha256": sha256_of(ensemble),
        "members": members,
        "data": {"images": {part: int(n) for part, n in counts.items()}, "split_sha256": sha256(run.path("splits", "split.csv"))},
        "trained_with": _trained_with(run),
        "exported_with": provenance.environment(),
    }


def _trained_with(run: Run) -> list[dict[str, Any]]:
    """Versions and machines of the trainings; nothing of those that have left no note."""
    manifest = read_manifest(run.folder)
    groups = provenance.by_environment(manifest, [f"02_train_backbone_{name}" for name in run.study.backbones])
    return [{"steps": steps, "environment": manifest["environments"][key]} for key, steps in groups.items() if key]


def member(name: str, member: Member) -> dict[str, Any]:
    """What a member sees, and how many views of it it averages."""
    _, config, views = member
    mean, std = config["normalisation"]
    seen = {**Input.of(config["study"])._asdict(), "resampling": "bilinear, antialiased",
            "channels": "RGB", "scaled_to": [0, 1], "mean": list(mean), "std": list(std)}  # fmt: skip
    return {"weights": f"models/{name}/weights.safetensors", "input": seen, "views": views}


def readme(run: Run, about: dict[str, Any]) -> str:
    """The run's model card as Markdown, with front matter for the Hub where it has none, and how to use what is here."""
    file = run.path("tables", "06_model_card.md")
    card = file.read_text(encoding="utf-8") if file.exists() else _short_card(about)
    board = run.path("tables", "06_leaderboard.csv")
    known = pd.read_csv(board) if board.exists() else None
    head = "" if card.startswith("---\n") else front_matter(run, known)
    return f"{head}{card.rstrip()}\n\n{_use(about)}"


def _short_card(about: dict[str, Any]) -> str:
    classes = ", ".join(f"`{dx}` {name}" for dx, name in CLASS_NAMES.items())
    caveats = "\n\n".join(f"**{one}**" for one in about["caveats"])
    return f"# {about['title'] or about['study']}\n\n{caveats}\n\nAn ensemble of {', '.join(about['members'])}.\n\nClasses: {classes}."


def _use(about: dict[str, Any]) -> str:
    lines = [
        "## Use", "With `lesionkit` installed, from this folder alone:",
        "    lesionkit predict . IMAGE_OR_FOLDER --out calls.csv\n    lesionkit explain . IMAGE_OR_FOLDER --out panels\n"
        "    lesionkit app .",
        "`lesionkit.json` holds the classes, what each member sees, temperatures, thresholds and conformal sets, all fitted on "
        "validation images, and the SHA-256 of each file. For the ensemble's probabilities as `predict` writes them:",
        _decisions(about["ensemble"]),
    ]  # fmt: skip
    if all("onnx" in one for one in about["members"].values()):
        lines += ["Without PyTorch, from the ONNX files, which take 8-bit RGB as it is:", _snippet(about)]
    return "\n\n".join(lines) + "\n"


def _decisions(ensemble: dict[str, Any]) -> str:
    temperature = ensemble["temperature"]
    lines = [f"- calibrated: `softmax(log(p) / {temperature:.4f})`"] if temperature else []
    for point in ensemble["melanoma_thresholds"]:
        if point["threshold"] is not None and point["validation_sensitivity"] is not None:
            cut = math.floor(point["threshold"] * 1e5) / 1e5  # down: to call no fewer than was promised
            lines.append(f"- melanoma, where `p_mel` is {cut:.5f} or above: set to find {point['promised_sensitivity']:.0%} of the "
                         f"melanomas among the validation images, and found {point['validation_sensitivity']:.0%}")  # fmt: skip
    return "\n".join(lines) or "- no temperature and no threshold: there were no validation images to fit them on"


def _snippet(about: dict[str, Any]) -> str:
    seen = [Input.of(one["input"]) for one in about["members"].values()]
    fit, plain = seen[0].fit, all(one.frame == one.colours == "keep" for one in seen)  # one fit, the study's
    opened = f"from PIL import Image{', ImageOps' * (fit != 'squash')}" if plain else "from lesionkit.data.decoding import Input, decode"
    image = 'decode("IMAGE.jpg", *Input.of(member["input"]))'
    if plain:
        image = f"np.asarray({SQUARE[fit]})".replace("side", 'member["input"]["size"]')
    return f"""```python
import json
import numpy as np
import onnxruntime
{opened}

about = json.load(open("lesionkit.json", encoding="utf-8"))
{'image = Image.open("IMAGE.jpg").convert("RGB")' + chr(10) if plain else ""}probabilities = []
for name, member in about["members"].items():
    pixels = {image}
    session = onnxruntime.InferenceSession(member["onnx"]["file"])
    p = session.run(None, {{"images": pixels[None]}})[0][0] ** (1 / about["ensemble"]["temperatures"][name])
    probabilities.append(p / p.sum())
print(dict(zip(about["classes"], np.average(probabilities, axis=0, weights=[*about["ensemble"]["shares"].values()]))))
```"""
