"""The folder of a run, `outputs/<study>/`, and the only code that writes figures, tables and their manifest there."""

import json
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import lesionkit
from lesionkit import study as studies
from lesionkit.data import mapping
from lesionkit.evidence import predictions
from lesionkit.study import Study
from lesionkit.workbook import hosts, showing, tables
from lesionkit.workbook.caveats import NOTE, caveat
from lesionkit.workbook.manifest import file_hash, update_manifest
from lesionkit.workbook.places import MissingInput, images_folder, remember, saved_study
from lesionkit.writing import write_atomically

IDS = ("image_id", "lesion_id", "group_id", "source_dx")  # text, also where they look like numbers
SEES_IMAGES = ("01", "02", "05", "07")  # numbers of notebooks
NOTE_WIDTH = 110  # characters of a line below a figure


@dataclass
class Run:
    """One study in one folder, as one notebook sees it. Made by `Run.open`."""

    study: Study
    folder: Path
    data: Path | None  # where the images are; None: not known, and not needed
    notebook: str  # "03_ensemble"; its number starts the name of each figure and table
    suffix: str = ""  # "resnet50": notebook 02 runs once a backbone
    read: dict[str, str] = field(default_factory=dict)  # relative path -> hash of what this notebook has read

    @classmethod
    def open(cls, study: str, notebook: str, *, data: str = "", out: str = "../outputs", overrides: Iterable[str] = (),
             suffix: str = "") -> "Run":  # fmt: skip
        """The run of `study` under `out`. `data` is the folder of images; not needed for phantoms, nor a second time.

        On Colab and Kaggle attached images and earlier results are found, and it says which (see `hosts`). Raises
        StudyError where the notebook needs images and no folder is known.
        """
        showing.style_tables()
        settings = studies.load(study, overrides)
        folder = hosts.results(out) / settings.name
        earlier, root, real = hosts.bring(folder), images_folder(settings, folder, data), not (settings.synthetic or settings.given)
        if root is None and notebook[:2] in SEES_IMAGES:
            raise studies.StudyError(f"study {settings.name} needs a folder of images: {hosts.attach()}give it with --data DIR")
        folder.mkdir(parents=True, exist_ok=True)
        if data and real and not hosts.are_links(root):
            remember(folder, root)
        for line in hosts.introduce(notebook, folder, root if real else None, earlier):
            print(line)
        run = cls(settings, folder, root, notebook, suffix)
        if not run.path("study.json").exists():  # what a notebook opened by hand overrides is not the run's
            run.save_settings()
        return run

    @classmethod
    def of(cls, folder: Path, notebook: str) -> "Run":
        """The run that is in `folder`, as its study.json has it. Raises MissingInput where there is none."""
        study = saved_study(folder)
        return cls(study, Path(folder), images_folder(study, Path(folder), ""), notebook)

    def save_settings(self) -> None:
        """Write study.json, the settings that `predict` goes by."""
        text = json.dumps(asdict(self.study), indent=1)
        write_atomically(self.path("study.json"), lambda path: path.write_text(text))

    def figure(self, figure: Figure | Axes, name: str, *, gallery: bool = False) -> Figure:
        """Save as PNG and PDF under figures/; under galleries/ and as PNG alone where it shows images of patients' skin.

        In a notebook the PNG is shown.
        """
        figure = figure.figure if isinstance(figure, Axes) else figure
        if note := self.caveat():
            figure.text(0.995, -0.01, textwrap.fill(note, NOTE_WIDTH), ha="right", va="top", fontsize=7, color="0.4")  # below all else
        stem = self.path("galleries" if gallery else "figures", self._name(name))
        png = ".png", {"dpi": 150, "pil_kwargs": {"compress_level": 3}} if gallery else {"dpi": 200}  # 3: in half the time
        pdf = ".pdf", {"metadata": {"CreationDate": None}}
        figure.draw_without_rendering()  # laid out and measured once for both: half of what drawing costs
        figure.set_layout_engine("none")
        box = figure.get_tightbbox().padded(0.1)
        for ending, options in (png,) if gallery else (png, pdf):
            self._write(stem.with_name(stem.name + ending), lambda path: figure.savefig(path, bbox_inches=box, **options))
        showing.show(figure, stem.with_name(f"{stem.name}.png"))
        return figure

    def table(self, table: pd.DataFrame, name: str, *, digits: int = 3) -> pd.DataFrame:
        """Save as CSV (full precision) and LaTeX (booktabs, `digits` decimals, intervals in brackets, the caveat) under tables/.

        Returns what LaTeX shows, for the notebook to show.
        """
        stem = self.path("tables", self._name(name))
        self._write(stem.with_name(stem.name + ".csv"), lambda path: table.to_csv(path, index=False))
        text = tables.latex(table, digits, caveat(self.study))
        self._write(stem.with_name(stem.name + ".tex"), lambda path: path.write_text(text, encoding="utf-8"))
        return tables.shown(table, digits)

    def text(self, text: str, name: str) -> str:
        """Save Markdown under tables/; returns it, to be shown."""
        self._write(self.path("tables", self._name(name) + ".md"), lambda path: path.write_text(text, encoding="utf-8"))
        return text

    def save_csv(self, table: pd.DataFrame, *parts: str) -> None:
        """Save a table that later notebooks read, such as splits/split.csv."""
        self._write(self.path(*parts), lambda path: table.to_csv(path, index=False))

    def save_note(self) -> None:
        """Save what the mapping of the study's own images says must be said: later their folder may be gone."""
        name = self.study.mapping
        if name and (note := mapping.load(mapping.file_of(name, self.data)).note):
            self.save_csv(pd.DataFrame({"note": [note]}), *NOTE)

    def caveat(self) -> str:
        """What must stand in every figure; empty where nothing must."""
        if self.path(*NOTE).exists():
            self.input("01_eda", *NOTE)  # who shows it is stale where it changes
        return caveat(self.study, self.folder)

    def save_predictions(self, table: pd.DataFrame, model: str) -> None:
        """Save the checked predictions of a model as `predictions/<model>.parquet`."""
        self._write(self.path("predictions", f"{model}.parquet"), lambda path: predictions.write(table, path))

    def record(self, *paths: Path) -> None:
        """Put files that something else has written (a model's) into the manifest; what this notebook makes next is made from them."""
        hashes = {path: file_hash(path) for path in paths}
        self._record(hashes)
        self.read |= {path.relative_to(self.folder).as_posix(): value for path, value in hashes.items()}

    def split(self) -> pd.DataFrame:
        """The split table: image_id, lesion_id, group_id, dataset, source, dx, source_dx, split."""
        return pd.read_csv(self.input("01_eda", "splits", "split.csv"), dtype=dict.fromkeys(IDS, str))

    def index(self) -> pd.DataFrame:
        """The index table of every image decoded: the internal ones and the candidates for the external set."""
        return pd.read_csv(self.input("01_eda", "splits", "index.csv"), dtype=dict.fromkeys(IDS, str))

    def framed(self) -> pd.DataFrame:
        """image_id and path of the external images with the black frame of a dermatoscope."""
        return pd.read_csv(self.input("01_eda", "splits", "framed.csv"), dtype=dict.fromkeys(("image_id", "path"), str))

    def predictions(self) -> pd.DataFrame:
        """The checked predictions of the study's backbones, one table, in the order of the study."""
        files = [self.input(f"02_train_backbone with backbone={name}", "predictions", f"{name}.parquet")
                 for name in self.study.backbones]  # fmt: skip
        table = predictions.read(files)
        facts = self.split().set_index("image_id")[["lesion_id", "split", "dx"]].reindex(table["image_id"])
        if (facts.to_numpy(object) != table[["lesion_id", "split", "y_true"]].to_numpy(object)).any():
            raise MissingInput("predictions/ are of another split than splits/split.csv: run 02_train_backbone again")
        return table

    def scored(self) -> pd.DataFrame:
        """`predictions`, and below them those of the ensembles, as notebook 03 has made them."""
        ensembles = predictions.read(self.input("03_ensemble", "predictions", "ensembles.parquet"))
        return pd.concat([self.predictions(), ensembles], ignore_index=True)

    def versions(self, kind: str) -> pd.DataFrame:
        """What notebook 02 has saved under `predictions/<kind>/` (views, folds, unframed) of the study's backbones.

        Empty, but for the column model, where it has saved nothing of the kind.
        """
        files = {name: self.path("predictions", kind, f"{name}.parquet") for name in self.study.backbones}
        found = [
            pd.read_parquet(self.input("02_train_backbone", "predictions", kind, path.name)).assign(model=name)
            for name, path in files.items() if path.exists()
        ]  # fmt: skip
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame({"model": []})

    def save_versions(self, table: pd.DataFrame, kind: str, model: str) -> None:
        """Save further predictions of a model as `predictions/<kind>/<model>.parquet`; an empty table saves nothing."""
        if len(table):
            path = self.path("predictions", kind, f"{model}.parquet")
            self._write(path, lambda path: table.to_parquet(path, index=False))

    def removed(self) -> pd.DataFrame:
        """What the external set has lost, and to what: step, removed, remaining (images); no row where nothing was looked at."""
        if self.path("splits", "external_set.csv").exists():  # of `lesionkit validate`
            return pd.read_csv(self.input("validate", "splits", "external_set.csv"))
        if self.path("tables", "01_external_set.csv").exists():
            return self.saved_table("01_eda", "01_external_set")
        return pd.DataFrame(columns=["step", "removed", "remaining"])

    def costs(self) -> pd.DataFrame:
        """What the backbones cost, a row each, as notebook 02 has measured it; NaN where it has not."""
        files = {name: self.path("tables", f"02_cost_{name}.csv") for name in self.study.backbones}
        found = [self.saved_table("02_train_backbone", file.stem).assign(model=name)
                 for name, file in files.items() if file.exists()]  # fmt: skip
        known = pd.concat(found).set_index("model") if found else pd.DataFrame()
        return known.reindex(list(self.study.backbones)).rename_axis("model").reset_index()

    def saved_table(self, maker: str, name: str) -> pd.DataFrame:
        """A table that notebook `maker` saved, such as `03_leaderboard`."""
        return pd.read_csv(self.input(maker, "tables", f"{name}.csv"))

    def input(self, maker: str, *parts: str) -> Path:
        """The path of a file that notebook `maker` makes; remembered as read. Raises MissingInput if it is not there."""
        path = self.path(*parts)
        if not path.exists():
            raise MissingInput(f"{path} is missing: run notebook {maker} first")
        self.read[path.relative_to(self.folder).as_posix()] = file_hash(path)
        return path

    def path(self, *parts: str) -> Path:
        """A file or folder of the run; its cache may lie elsewhere."""
        return hosts.cache(self.folder).joinpath(*parts[1:]) if parts[:1] == ("cache",) else self.folder.joinpath(*parts)

    def _name(self, name: str) -> str:
        return "_".join(filter(None, (self.notebook.split("_")[0], name, self.suffix)))

    def _write(self, path: Path, write: Callable[[Path], Any]) -> None:
        write_atomically(path, write)
        self._record({path: file_hash(path)})

    def _record(self, hashes: dict[Path, str]) -> None:
        made_by = {"notebook": self.notebook, **({"backbone": self.suffix} if self.suffix else {}),
                   "study": self.study.fingerprint(), "lesionkit": lesionkit.__version__, "inputs": dict(self.read)}  # fmt: skip
        entries = {
            path.relative_to(self.folder).as_posix(): {"hash": value, **made_by} for path, value in hashes.items()
        }
        update_manifest(self.folder, "artifacts", entries)
