"""Do the models of a run, their predictions and the numbers that were fitted on these belong together? The manifest says."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from lesionkit.learning import exported
from lesionkit.workbook.artifacts import Run
from lesionkit.workbook.manifest import file_hash, read_manifest

ENSEMBLES = "predictions/ensembles.parquet"
TABLES = {
    "tables/03b_operating_points.csv": "03b_melanoma", "tables/03c_calibration.csv": "03c_calibration",
    "tables/03c_conformal.csv": "03c_calibration", ENSEMBLES: "03_ensemble",
}  # fitted on the predictions, each by the notebook that makes it  # fmt: skip


class Mismatch(ValueError):
    """Files of a run that do not belong together. The message says which notebook to run again."""


def check(run: Run, *, tables: bool = False) -> None:
    """Raises Mismatch where the predictions of a run are not its models' as its study uses them; with `tables` also where what
    was fitted is of other predictions. MissingInput for what was not made yet, ValueError as `exported.check`."""
    exported.check(run.folder)
    manifest = read_manifest(run.folder)
    for name in run.study.backbones:
        _check_member(run, manifest, name)
    shares = {exported.ENSEMBLE: "03_ensemble"} if run.study.ensemble != "mean" else {}
    for path, maker in (TABLES | shares).items() if tables else ():
        _check_fitted(run, manifest["artifacts"], path, maker)


def _check_member(run: Run, manifest: Mapping[str, Any], name: str) -> None:
    weights, predictions = f"models/{name}/weights.safetensors", f"predictions/{name}.parquet"
    maker = f"02_train_backbone with backbone={name}"
    known = {path: _entry(run, manifest["artifacts"], path, maker) for path in (weights, predictions)}
    if known[predictions].get("inputs", {}).get(weights, known[weights]["hash"]) != known[weights]["hash"]:
        raise _mismatch(run, f"{predictions} is of other weights than {weights}", maker)
    views, now = _views(manifest, known[predictions], name), run.study.for_backbone(name).tta
    if known[predictions]["study"] != run.study.fingerprint() and views != now:
        made = "an unknown number of views" if views is None else f"tta = {views}"
        raise _mismatch(run, f"{predictions} was made with {made}, and study.json has tta = {now}", maker)


def _views(manifest: Mapping[str, Any], made: Mapping[str, Any], name: str) -> int | None:
    """The views that a file of notebook 02 was made with; None where it was opened by hand, with other settings."""
    step = manifest["steps"].get(f"02_train_backbone_{name}", {})
    return step["parts"]["parameters"].get("tta") if step.get("study") == made["study"] else None


def _check_fitted(run: Run, artifacts: Mapping[str, Any], path: str, maker: str) -> None:
    inputs = _entry(run, artifacts, path, maker).get("inputs", {})
    for other, value in inputs.items():
        if not run.path(other).exists() or file_hash(run.path(other)) != value:
            raise _mismatch(run, f"{path} was made from another {other} than is there now", maker)
    read = {other for other in inputs if PurePosixPath(other).parent.name == "predictions"} - {ENSEMBLES}
    if read != {f"predictions/{name}.parquet" for name in run.study.backbones}:
        raise _mismatch(run, f"{path} was made from other models than those of study.json", maker)


def _entry(run: Run, artifacts: Mapping[str, Any], path: str, maker: str) -> Mapping[str, Any]:
    """What the manifest says of a file, which is the one that is there."""
    found, entry = file_hash(run.input(maker, *path.split("/"))), artifacts.get(path)
    if entry is None:
        raise _mismatch(run, f"manifest.json does not say how {path} was made", maker)
    if entry["hash"] != found or entry.get("superseded"):
        raise _mismatch(run, f"{path} is not what the last complete run of its notebook has left", maker)
    return entry


def _mismatch(run: Run, what: str, maker: str) -> Mismatch:
    return Mismatch(f"{run.folder}: {what}: run notebook {maker} again and those after it, or bring all up to date with the "
                    "command that made the run, lesionkit run")  # fmt: skip
