"""One record a data set: classes, official counts, licence, citation, label map; and the readers' vocabulary.

A new data set is one record here and one loader in `readers.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd

try:  # the type of text that keeps NaN: pandas 3 calls it "str", which would make "nan" of it before
    TEXT = pd.StringDtype(na_value=float("nan"))
except TypeError:  # pandas 2.2
    TEXT = pd.StringDtype("pyarrow_numpy")
CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
CLASS_NAMES = MappingProxyType(
    {
        "akiec": "actinic keratosis or intraepithelial carcinoma (Bowen's disease)",
        "bcc": "basal cell carcinoma",
        "bkl": "benign keratosis-like lesion",
        "df": "dermatofibroma",
        "mel": "melanoma",
        "nv": "melanocytic nevus",
        "vasc": "vascular lesion",
    }
)

INDEX_COLUMNS = (
    "image_id",
    "path",
    "lesion_id",
    "dx",
    "source_dx",
    "dataset",
    "source",
    "dx_type",
    "age",
    "sex",
    "site",
)
PROBLEM_COLUMNS = ("image_id", "file", "problem", "remedy", "fatal")


class DataError(ValueError):
    """Data that the study cannot go around; `problems` holds the rows of the problems table that say why."""

    def __init__(self, message: str, problems: pd.DataFrame | None = None):
        super().__init__(message)
        self.problems = problem_table() if problems is None else problems

    @classmethod
    def about(cls, problem: str, file: str, remedy: str) -> "DataError":
        """An error that is also one fatal row of the problems table."""
        return cls(f"{problem} ({file}). {remedy}", problem_table(problem, remedy, file=[file], fatal=True))


def problem_table(problem: str = "", remedy="", *, image_id=(), file=(), fatal: bool = False) -> pd.DataFrame:
    """Rows of the problems table, one for each of `file`; `remedy` is one text, or one for each row."""
    files = list(file)
    ids = list(image_id) or [None] * len(files)
    remedies = [remedy] * len(files) if isinstance(remedy, str) else list(remedy)
    columns = {"image_id": ids, "file": files, "problem": problem, "remedy": remedies, "fatal": fatal}
    table = pd.DataFrame(columns, index=range(len(files)))
    return table.astype({"image_id": "str", "file": "str", "problem": "str", "remedy": "str", "fatal": bool})


@dataclass(frozen=True)
class Record:
    """What is known of a data set before it is read."""

    name: str  # as in the index table's column `dataset`
    title: str
    labels: Mapping[str, str]  # the release's own label -> class
    official: Mapping[str, int]  # images of each of the release's own labels, in the whole release
    lesions: int | None  # lesions in the whole release; None where some images have no lesion id
    folders: str  # regular expression (case ignored): names of folders that hold its images
    licence: str
    attribution: str
    citations: tuple[str, ...]
    home: str
    unmapped: tuple[str, ...] = ()  # labels of the release that are no class of the study
    note: str = ""  # what must be said wherever its images are used

    @property
    def images(self) -> int:
        """Images in the whole release."""
        return sum(self.official.values())


_HAM_CITATION = (
    "Tschandl P, Rosendahl C, Kittler H. The HAM10000 dataset, a large collection of "
    "multi-source dermatoscopic images of common pigmented skin lesions. Sci. Data 5, 180161 "
    "(2018). doi:10.1038/sdata.2018.161"
)
_CODELLA_CITATION = (
    "Codella NCF et al. Skin lesion analysis toward melanoma detection: a challenge at the "
    "2017 ISBI, hosted by ISIC. arXiv:1710.05006 (2017)"
)
_BCN_CITATION = "Combalia M et al. BCN20000: dermoscopic lesions in the wild. arXiv:1908.02288 (2019)"

HAM10000 = Record(
    name="ham10000",
    title="HAM10000",
    labels=MappingProxyType({name: name for name in CLASSES}),
    official=MappingProxyType({"akiec": 327, "bcc": 514, "bkl": 1099, "df": 115, "mel": 1113, "nv": 6705, "vasc": 142}),
    lesions=7470,
    folders=r"ham.?10000|isic.?2018",
    licence="CC BY-NC 4.0",
    attribution="HAM10000 © ViDIR Group, Department of Dermatology, Medical University of Vienna",
    citations=(_HAM_CITATION,),
    home="https://doi.org/10.7910/DVN/DBW86T",
)

# HAM10000's akiec is actinic keratosis and Bowen's disease; ISIC 2019 files the same images under AK (130)
# and SCC (197), so both of its labels are akiec here.
ISIC2019 = Record(
    name="isic2019",
    title="ISIC 2019 training",
    labels=MappingProxyType(
        {
            "MEL": "mel",
            "NV": "nv",
            "BCC": "bcc",
            "AK": "akiec",
            "BKL": "bkl",
            "DF": "df",
            "VASC": "vasc",
            "SCC": "akiec",
        }
    ),
    official=MappingProxyType(
        {"MEL": 4522, "NV": 12875, "BCC": 3323, "AK": 867, "BKL": 2624, "DF": 239, "VASC": 253, "SCC": 628, "UNK": 0}
    ),
    lesions=None,
    folders=r"isic.?2019",
    licence="CC BY-NC 4.0",
    attribution=(
        "BCN_20000 © Department of Dermatology, Hospital Clínic de Barcelona; HAM10000 © ViDIR "
        "Group, Department of Dermatology, Medical University of Vienna; MSK Dataset © Anonymous"
    ),
    citations=(_HAM_CITATION, _CODELLA_CITATION, _BCN_CITATION),
    home="https://challenge.isic-archive.com/data/#2019",
    unmapped=("UNK",),
)

DATASETS = MappingProxyType({record.name: record for record in (HAM10000, ISIC2019)})
LABELS = MappingProxyType(  # of any release, case folded -> class
    {label.casefold(): dx for record in DATASETS.values() for label, dx in record.labels.items()}
)
CONFIRMATION = MappingProxyType(  # how ISIC says what HAM10000's own metadata call so
    {
        "histopathology": "histo",
        "serial imaging showing no change": "follow_up",
        "single image expert consensus": "consensus",
        "confocal microscopy with consensus dermoscopy": "confocal",
    }
)
