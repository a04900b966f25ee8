"""Colab and Kaggle, imitated by their environment variables and folders."""

import json
import re
import tempfile
from pathlib import Path

import pytest
import torch
from data import releases
from workbook import books

from lesionkit import study
from lesionkit.data import masks, readers
from lesionkit.data.records import CLASSES
from lesionkit.study import StudyError
from lesionkit.workbook import hosts, pipeline
from lesionkit.workbook.artifacts import Run

KAGGLE, COLAB = "KAGGLE_KERNEL_RUN_TYPE", "COLAB_RELEASE_TAG"
HAM_LABELS = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Makes this machine a host whose root is tmp_path, with notebooks working where the host has them work."""

    def host(variable):
        for names in hosts.VARIABLES.values():
            for name in names:
                monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(variable, "x")
        monkeypatch.setattr(hosts, "ROOT", tmp_path)
        (tmp_path / "tmp").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
        working = tmp_path / ("kaggle/working" if variable.startswith("KAGGLE") else "content")
        working.mkdir(parents=True)
        monkeypatch.chdir(working)
        return working

    return host


def kmader(folder: Path) -> Path:
    """kmader/skin-cancer-mnist-ham10000: two parts, both once more in lower case, and the tables of pixels."""
    for part, numbers in (("HAM10000_images_part_1", (1, 2)), ("HAM10000_images_part_2", (3, 4))):
        releases.images(folder / part, *releases.ham_names(*numbers))
        releases.images(folder / part.lower(), *releases.ham_names(*numbers))
    releases.lines(folder / "hmnist_28_28_RGB.csv", "pixel0000,label", "1,2")
    releases.lines(folder / "HAM10000_metadata.csv", releases.HAM_HEADER, *releases.HAM_ROWS)
    return folder


def with_masks(folder: Path) -> Path:
    """surajghuwalewala/ham1000-segmentation-and-classification: one-hot labels, images, masks; no lesion ids."""
    releases.images(folder / "images", *releases.ham_names(1, 2))
    releases.images(folder / "masks", "ISIC_0000001_segmentation.png", "ISIC_0000002_segmentation.png")
    labels = HAM_LABELS.split(",")[1:]
    releases.lines(folder / "GroundTruth.csv", HAM_LABELS, releases.one_hot("ISIC_0000001", "AKIEC", labels),
                   releases.one_hot("ISIC_0000002", "NV", labels))  # fmt: skip
    return folder


def andrewmvd(folder: Path) -> Path:
    """andrewmvd/isic-2019: the training images in a folder twice; test images beside them."""
    releases.isic2019(folder, "ISIC_2019_Training_Input/ISIC_2019_Training_Input")
    releases.images(folder / "ISIC_2019_Test_Input" / "ISIC_2019_Test_Input", "ISIC_0034321.jpg")
    return folder


def salviohexia(folder: Path) -> Path:
    """salviohexia/isic-2019-skin-lesion-images-for-classification: images in folders by class."""
    releases.isic2019(folder, "MEL")
    for name, label in (("ISIC_0000010.jpg", "AK"), ("ISIC_0000011_downsampled.jpg", "SCC")):
        (folder / label).mkdir()
        (folder / "MEL" / name).rename(folder / label / name)
    return folder


def unrelated(root: Path) -> None:
    releases.images(root / "kaggle/input/siim-isic/jpeg/train", "ISIC_0999999.jpg")
    releases.lines(root / "kaggle/input/siim-isic/train.csv", "image_name,target")


def test_a_host_is_known_by_its_variables(host, monkeypatch):
    assert hosts.where() == ""
    host(COLAB)
    assert hosts.where() == "Colab"
    monkeypatch.setenv(KAGGLE, "Batch")  # Kaggle's image is made from Colab's
    assert hosts.where() == "Kaggle"


@pytest.mark.parametrize("at", ["kaggle/input/{slug}", "kaggle/input/datasets/{owner}/{slug}"])
@pytest.mark.parametrize("isic, slug", [(andrewmvd, "isic-2019"), (salviohexia, "isic-2019-skin-lesion-images-for-classification")])
def test_data_sets_of_kaggle_are_read_where_it_mounts_them(host, tmp_path, at, isic, slug):
    host(KAGGLE)
    kmader(tmp_path / at.format(owner="kmader", slug="skin-cancer-mnist-ham10000"))
    isic(tmp_path / at.format(owner=isic.__name__, slug=slug))
    unrelated(tmp_path)
    folder = hosts.images()
    assert {path.name for path in folder.iterdir()} == {"skin-cancer-mnist-ham10000", slug}
    internal, problems = readers.read(folder, "ham10000")
    assert problems.empty and len(internal) == 4 and internal["lesion_id"].nunique() == 3
    external, problems = readers.read(folder, "isic2019")
    assert external["image_id"].tolist() == ["ISIC_0000001", "ISIC_0000010", "ISIC_0000011"]
    assert external["source"].tolist() == ["HAM10000", "BCN_20000", "MSK"]
    assert set(external["dx"]) == {"mel", "akiec"} and "ISIC_0999999" not in problems["image_id"].tolist()
    assert all((folder / path).exists() for path in [*internal["path"], *external["path"]])


def test_the_data_set_with_masks_is_read_and_says_what_it_lacks(host, tmp_path):
    host(KAGGLE)
    place = with_masks(tmp_path / "kaggle/input/datasets/surajghuwalewala/ham1000-segmentation-and-classification")
    index, problems = readers.read(hosts.images(), "ham10000")
    assert index["dx"].tolist() == ["akiec", "nv"]
    assert problems["problem"].tolist() == ["missing file"] and "leak" in problems["remedy"][0]
    assert masks.folder_of(hosts.images(), str(place / "masks")).is_dir()  # as --set masks=DIR says it


def test_both_copies_of_ham10000_together_are_read_with_lesions(host, tmp_path):
    host(KAGGLE)
    kmader(tmp_path / "kaggle/input/skin-cancer-mnist-ham10000")
    with_masks(tmp_path / "kaggle/input/ham1000-segmentation-and-classification")
    index, problems = readers.read(hosts.images(), "ham10000")
    assert problems.empty and len(index) == 4 and index["lesion_id"].nunique() == 3
    assert index["path"].str.startswith("skin-cancer").all()


def test_outlines_are_found_under_the_name_that_studies_look_for(host, tmp_path):
    host(KAGGLE)
    kmader(tmp_path / "kaggle/input/skin-cancer-mnist-ham10000")
    inner = tmp_path / "kaggle/input/ham10000-lesion-segmentations" / hosts.OUTLINES / hosts.OUTLINES
    releases.images(inner, "ISIC_0000001_segmentation.png")
    assert masks.folder_of(hosts.images(), study.Study(name="any", title="any").masks).resolve() == inner
    assert len(readers.read(hosts.images(), "ham10000")[0]) == 4


def test_a_data_set_that_is_shown_under_two_names_counts_once_and_namesakes_count_twice(host, tmp_path):
    host(KAGGLE)
    kmader(tmp_path / "kaggle/input/datasets/kmader/ham10000")
    (tmp_path / "kaggle/input/ham10000").symlink_to(tmp_path / "kaggle/input/datasets/kmader/ham10000")
    assert list(hosts.attached()) == ["ham10000"]
    kmader(tmp_path / "kaggle/input/datasets/other/ham10000")
    assert list(hosts.attached()) == ["ham10000", "other_ham10000"]


@pytest.mark.parametrize("place", ["content/ham", "content/drive/MyDrive/lesions/HAM10000", "kaggle/input/ham"])
def test_colab_reads_its_own_disk_a_mounted_drive_and_what_kagglehub_mounts(host, tmp_path, place):
    host(COLAB)
    kmader(tmp_path / place)
    assert len(readers.read(hosts.images(), "ham10000")[0]) == 4


def test_what_is_attached_later_is_seen(host, tmp_path):
    host(KAGGLE)
    assert hosts.images() is None
    kmader(tmp_path / "kaggle/input/ham")
    first = hosts.images()
    andrewmvd(tmp_path / "kaggle/input/isic-2019")
    assert hosts.images() != first and len(readers.read(hosts.images(), "isic2019")[0]) == 3


@pytest.mark.parametrize("layouts", readers.LAYOUTS.values())
def test_every_label_file_that_the_readers_know_is_looked_for(layouts):
    names = ["HAM10000_metadata", "HAM10000_metadata.tab", "ISIC2018_Task3_Training_GroundTruth.csv",
             "ISIC_2019_Training_GroundTruth.csv", "GroundTruth.csv"]  # fmt: skip
    for layout in layouts:
        known = [name for name in names if re.fullmatch(layout.labels, name, re.IGNORECASE)]
        assert known and all(hosts.LABELS.fullmatch(name) for name in known)


# ---- results


def test_results_go_where_the_host_keeps_them(host, tmp_path):
    assert hosts.results("../outputs") == Path("../outputs").resolve()
    working = host(KAGGLE)
    assert hosts.results("../outputs") == tmp_path / "kaggle/working/outputs"
    assert hosts.results("elsewhere") == working / "elsewhere"  # what somebody asks for is done


def test_colab_keeps_results_on_a_mounted_drive(host, tmp_path):
    host(COLAB)
    assert hosts.results("../outputs") == tmp_path / "content/outputs"
    (tmp_path / "content/drive/MyDrive").mkdir(parents=True)
    assert hosts.results("../outputs") == tmp_path / "content/drive/MyDrive/lesionkit/outputs"


def test_a_notebook_of_a_clone_on_a_host_writes_beside_it_as_the_batch_run_does(host, monkeypatch):
    clone = host(KAGGLE) / "lesionkit"
    (clone / "notebooks").mkdir(parents=True)
    monkeypatch.chdir(clone / "notebooks")
    assert hosts.results("../outputs") == clone / "outputs"


def attach_session(folder: Path, artifacts: int) -> Path:
    """What a session leaves: results, decoded pixels and locks; read-only, as an attached folder is."""
    for name, text in (("splits/split.csv", "kept"), ("cache/images.npy", "large"), (".manifest.lock", ""),
                       ("models/resnet50/weights.safetensors", "kept")):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o444)
    (folder / "manifest.json").write_text(json.dumps({"artifacts": {f"{n}.csv": {"hash": ""} for n in range(artifacts)}}))
    return folder


@pytest.mark.parametrize("at", ["one", "notebooks/me/one", "datasets/me/one"])
def test_results_of_an_earlier_session_are_copied_without_the_pixels_and_can_be_written(host, tmp_path, at):
    folder = host(KAGGLE) / "outputs" / "demo"
    attach_session(tmp_path / "kaggle/input/zero/outputs/demo", artifacts=1)
    attach_session(tmp_path / "kaggle/input/other/outputs/full", artifacts=9)
    newest = attach_session(tmp_path / "kaggle/input" / at / "outputs/demo", artifacts=2)
    assert hosts.bring(folder) == newest
    copied = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert copied == ["manifest.json", "models/resnet50/weights.safetensors", "splits/split.csv"]
    assert (folder / "splits/split.csv").stat().st_mode & 0o200
    (folder / "splits/split.csv").write_text("mine")
    assert hosts.bring(folder) is None and (folder / "splits/split.csv").read_text() == "mine"  # never over what is there


def test_nothing_is_brought_to_a_machine_that_is_no_host(tmp_path, monkeypatch):
    monkeypatch.setattr(hosts, "ROOT", tmp_path)
    attach_session(tmp_path / "kaggle/input/one/outputs/demo", artifacts=1)
    kmader(tmp_path / "kaggle/input/ham")
    assert hosts.bring(tmp_path / "outputs" / "demo") is None and hosts.images() is None
    assert not list(hosts.introduce("02_train_backbone", tmp_path / "outputs" / "demo", tmp_path, None))


@pytest.mark.parametrize("variable", [KAGGLE, COLAB])
def test_decoded_pixels_stay_on_the_session_s_disk(host, tmp_path, variable):
    (tmp_path / "study").mkdir()
    given = books.write_study(tmp_path / "study")
    out = str(tmp_path / "study/outputs")
    assert Run.open(given["study"], "03_ensemble", out=out).path("cache") == tmp_path / "study/outputs/toy/cache"
    host(variable)
    there = Run.open(given["study"], "03_ensemble", out=out).path("cache", "x")
    assert there.is_relative_to(tmp_path / "tmp") and there.name == "x"
    assert there != Run.open(given["study"], "03_ensemble", out=f"{out}2").path("cache", "x")


# ---- runs


def opened(tmp_path, notebook="01_eda", **more):
    if not (tmp_path / "study").exists():
        (tmp_path / "study").mkdir()
        books.write_study(tmp_path / "study")
    return Run.open(str(tmp_path / "study" / "toy.toml"), notebook, **more)


def test_a_run_on_kaggle_finds_its_images_and_says_where_everything_is(host, tmp_path, capsys):
    host(KAGGLE)
    kmader(tmp_path / "kaggle/input/ham")
    run = opened(tmp_path)
    assert run.folder == tmp_path / "kaggle/working/outputs/toy" and len(readers.read(run.data, "ham10000")[0]) == 4
    said = capsys.readouterr().out.splitlines()
    assert said == [f"Kaggle: results in {run.folder}", f"Images: {tmp_path / 'kaggle/input/ham'}"]
    opened(tmp_path, data=str(run.data))  # as jobs beside each other are told
    assert not (run.folder / "data.txt").exists()  # the links are made anew in each session


def test_a_run_keeps_to_the_folder_of_images_that_it_was_given(host, tmp_path, capsys):
    host(KAGGLE)
    kmader(tmp_path / "kaggle/input/ham")
    given = tmp_path / "mine"
    given.mkdir()
    assert opened(tmp_path, data=str(given)).data == given
    assert opened(tmp_path).data == given and f"Images: {given}" in capsys.readouterr().out
    given.rmdir()
    assert opened(tmp_path).data == hosts.images()  # another session


def test_images_that_are_not_attached_are_asked_for_in_the_host_s_words(host, tmp_path):
    host(KAGGLE)
    with pytest.raises(StudyError, match="Add Input"):
        opened(tmp_path)
    assert opened(tmp_path, "03_ensemble").data is None


def test_colab_says_that_its_disk_ends_with_the_session(host, tmp_path, capsys):
    host(COLAB)
    opened(tmp_path, "03_ensemble")
    assert "drive.mount" in capsys.readouterr().out
    (tmp_path / "content/drive/MyDrive").mkdir(parents=True)
    opened(tmp_path, "03_ensemble")
    assert "drive.mount" not in capsys.readouterr().out


@pytest.mark.parametrize("variable, where", [(KAGGLE, "Settings → Accelerator"), (COLAB, "Runtime → Change runtime type")])
def test_training_without_a_gpu_says_how_one_is_switched_on(host, tmp_path, monkeypatch, capsys, variable, where):
    host(variable)
    kmader(tmp_path / "kaggle/input/ham")
    for cuda, notebook, expected in ((False, "02_train_backbone", True), (True, "02_train_backbone", False), (False, "03_ensemble", False)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        opened(tmp_path, notebook)
        assert (where in capsys.readouterr().out) == expected


def test_the_command_finds_attached_images_and_goes_on_from_an_attached_session(host, tmp_path, capsys):
    """A whole toy study, run on one Kaggle session and gone on with on the next."""
    working = host(KAGGLE)
    given = books.write_study(tmp_path)
    kmader(tmp_path / "kaggle/input/ham")
    (tmp_path / "kaggle/input/ham" / "labels.csv").write_text("image_id,dx,note\na,mel,\n")
    assert CLASSES[4] == "mel"
    states = pipeline.status(given["study"], out="outputs", notebooks=given["notebooks"])
    assert {state.name for state in states} == {"missing"}
    attach_session(tmp_path / "kaggle/input/notebooks/me/first/outputs/toy", artifacts=3)
    run = Run.open(given["study"], "01_eda", out="outputs")
    assert run.folder == working / "outputs/toy" and (run.folder / "splits/split.csv").read_text() == "kept"
    assert "begun as a copy of" in capsys.readouterr().out and (run.data / "ham" / "labels.csv").exists()
