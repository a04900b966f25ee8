"""The official releases: which files they are of, where these lie, under which licence."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from lesionkit.data.downloading import Client, DownloadError, Remote
from lesionkit.data.records import HAM10000, ISIC2019

HOSTS = {"isic": "https://isic-challenge-data.s3.amazonaws.com", "dataverse": "https://dataverse.harvard.edu"}
_DOI = "doi:10.7910/DVN/DBW86T"
_DATAVERSE_PAGE = f"{HOSTS['dataverse']}/dataset.xhtml?persistentId={_DOI}"


@dataclass(frozen=True)
class Source:
    """Files of a release in one place, `host`; `page` is where a human finds them."""

    host: str  # isic, dataverse, kaggle
    page: str
    files: tuple[str, ...] = ()  # their names; Dataverse's are found by the name without its ending
    folder: str = ""  # of isic's storage, or Kaggle's name of the data set
    licence: str = ""  # where it is not the release's

    @property
    def title(self) -> str:
        """The host in words."""
        return {"isic": "ISIC's storage", "dataverse": "Harvard Dataverse"}.get(self.host, self.host.capitalize())

    def address(self, name: str) -> str:
        """Where a human gets a file of it without us: the file itself, or the page that has it."""
        return f"{HOSTS['isic']}/{self.folder}/{name}" if self.host == "isic" else self.page


@dataclass(frozen=True)
class Release:
    """What is known of a release before it is fetched; the first source is the default.

    `use`: "study" for one that a study reads, "outside" for a table and images to validate a run on, "masks".
    """

    title: str
    sources: tuple[Source, ...]
    licence: str = HAM10000.licence
    attribution: str = HAM10000.attribution
    citations: tuple[str, ...] = HAM10000.citations
    use: str = "study"

    def source(self, host: str) -> Source:
        """The source of this name, or for "" the default. Raises ValueError that names them all."""
        for source in self.sources:
            if host in ("", source.host):
                return source
        raise ValueError(f"no source {host!r} of {self.title}: use {' or '.join(one.host for one in self.sources)}")


def _isic(year: int, *files: str) -> Source:
    return Source("isic", f"https://challenge.isic-archive.com/data/#{year}", files, f"{year}")


def _dataverse(*files: str) -> Source:
    return Source("dataverse", _DATAVERSE_PAGE, files)


_ISIC_2018 = "Codella NCF et al. Skin lesion analysis toward melanoma detection 2018. arXiv:1902.03368 (2019)"
_MASKS = "Tschandl P et al. Human-computer collaboration for skin cancer recognition. Nat. Med. 26, 1229 (2020)"
_KAGGLE = "kmader/skin-cancer-mnist-ham10000"

RELEASES: Mapping[str, Release] = MappingProxyType(
    {
        "ham10000": Release(
            "HAM10000",
            (
                _dataverse("HAM10000_metadata.tab", "HAM10000_images_part_1.zip", "HAM10000_images_part_2.zip"),
                _isic(
                    2018,
                    "ISIC2018_Task3_Training_GroundTruth.zip",
                    "ISIC2018_Task3_Training_LesionGroupings.csv",
                    "ISIC2018_Task3_Training_Input.zip",
                ),
                Source("kaggle", f"https://www.kaggle.com/datasets/{_KAGGLE}", (), _KAGGLE, "CC BY-NC-SA 4.0"),
            ),
        ),
        "isic2018-test": Release(
            "ISIC 2018 Task 3 test",
            (
                _isic(2018, "ISIC2018_Task3_Test_GroundTruth.zip", "ISIC2018_Task3_Test_Input.zip"),
                _dataverse("ISIC2018_Task3_Test_GroundTruth.tab", "ISIC2018_Task3_Test_Images.zip"),
            ),
            citations=(*HAM10000.citations, _ISIC_2018),
            use="outside",
        ),
        "isic2019": Release(
            ISIC2019.title,
            (
                _isic(
                    2019,
                    "ISIC_2019_Training_GroundTruth.csv",
                    "ISIC_2019_Training_Metadata.csv",
                    "ISIC_2019_Training_Input.zip",
                ),
            ),
            ISIC2019.licence,
            ISIC2019.attribution,
            ISIC2019.citations,
        ),
        "ham10000-masks": Release(
            "HAM10000's lesion masks",
            (_dataverse("HAM10000_segmentations_lesion_tschandl.zip"),),
            citations=(*HAM10000.citations, _MASKS),
            use="masks",
        ),
    }
)


def locate(source: Source, wanted: tuple[str, ...], folder: Path, client: Client) -> dict[str, Remote]:
    """The files of `source` that are `wanted`, with sizes, and hashes where there are any, as the servers say.

    A file put into `folder` by hand counts without its server: then no more than its name is known, and it is not
    `answered`. Raises DownloadError where a server does not answer and a file is not there either.
    """
    find = _on_dataverse if source.host == "dataverse" else _on_isic
    return find(source, wanted, folder, client)


def by_hand(name: str, folder: Path) -> Path | None:
    """The file in `folder` that is `name`, whatever the ending of a table: Dataverse hands them out with several."""
    stem, ending = Path(name).stem, Path(name).suffix
    endings = (ending,) if ending == ".zip" else ("", ".csv", ".tab", ".tsv", ".txt")
    return next((file for end in endings if (file := folder / (stem + end)).is_file()), None)


def _on_isic(source: Source, wanted: tuple[str, ...], folder: Path, client: Client) -> dict[str, Remote]:
    found = {}
    for name in wanted:
        try:
            found[name] = Remote(name, source.address(name), client.size(source.address(name)))
        except DownloadError:
            if by_hand(name, folder) is None:
                raise
            found[name] = Remote(name, source.address(name), answered=False)
    return found


def _on_dataverse(source: Source, wanted: tuple[str, ...], folder: Path, client: Client) -> dict[str, Remote]:
    there = {name: by_hand(name, folder) for name in wanted}
    try:
        answer = client.json(f"{HOSTS['dataverse']}/api/datasets/:persistentId/?persistentId={_DOI}")
    except DownloadError:
        if not all(there.values()):
            raise
        return {name: Remote(file.name, source.page, answered=False) for name, file in there.items() if file}
    try:
        listed = {Path(entry["label"]).stem: entry for entry in answer["data"]["latestVersion"]["files"]}
        lost = [name for name in wanted if Path(name).stem not in listed]
        found = {name: _remote(listed[Path(name).stem]) for name in wanted if name not in lost}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DownloadError(f"Harvard Dataverse describes {_DOI} in a form that is not known ({error!r})") from error
    if lost:
        raise DownloadError(f"Harvard Dataverse no longer lists {', '.join(lost)} in {_DOI}")
    return found


def _remote(entry: dict) -> Remote:
    """A file as Dataverse describes it; of a table, what was uploaded.

    Dataverse makes a .tab of each table. The MD5 that it states is in some cases of neither form
    (github.com/IQSS/dataverse/issues/9501), so a table has none here.
    """
    file = entry["dataFile"]
    table = "originalFileFormat" in file
    name = (file.get("originalFileName") if table else None) or entry["label"]
    if Path(name).name != name or name.startswith(".") or "\\" in name:
        raise DownloadError(f"Harvard Dataverse lists a file whose name leads out of a folder: {name!r}")
    url = f"{HOSTS['dataverse']}/api/access/datafile/{int(file['id'])}" + ("?format=original" if table else "")
    size = file.get("originalFileSize" if table else "filesize")
    return Remote(name, url, size, "" if table else file.get("md5", ""))
