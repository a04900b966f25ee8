"""Data sets as Kaggle and Colab show them, and the variables by which a host is known."""

from pathlib import Path

from data import releases

KAGGLE, COLAB = "KAGGLE_KERNEL_RUN_TYPE", "COLAB_RELEASE_TAG"
HAM_LABELS = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"


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
