"""Small folders in the layouts of the releases, written for the tests of the readers."""

from pathlib import Path

import pandas as pd
from PIL import Image

HAM_HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization"
HAM_ROWS = [
    "HAM_0000001,ISIC_0000001,mel,histo,80.0,male,scalp",
    "HAM_0000001,ISIC_0000002,mel,histo,80.0,male,scalp",
    "HAM_0000002,ISIC_0000003,akiec,follow_up,0.0,unknown,unknown",
    "HAM_0000003,ISIC_0000004,nv,confocal,,female,Back",
]
ISIC_LABELS = "MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK".split(",")


def images(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (8, 6), (200, 120, 90)).save(folder / name)


def lines(file: Path, *rows: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")


def ham_names(*numbers: int) -> list[str]:
    return [f"ISIC_{number:07}.jpg" for number in numbers]


def ham(root: Path, rows=HAM_ROWS, header=HAM_HEADER) -> Path:
    images(root / "HAM10000_images", *ham_names(1, 2, 3, 4))
    lines(root / "HAM10000_metadata.csv", header, *rows)
    return root


def one_hot(image: str, label: str, labels=ISIC_LABELS) -> str:
    return ",".join([image, *(f"{float(name == label)}" for name in labels)])


def isic2019(root: Path, folder="ISIC_2019_Training_Input", extra=()) -> Path:
    images(root / folder, *ham_names(1, 10, 12), "ISIC_0000011_downsampled.jpg")
    lines(
        root / "ISIC_2019_Training_GroundTruth.csv",
        ",".join(["image", *ISIC_LABELS]),
        one_hot("ISIC_0000001", "MEL"),
        one_hot("ISIC_0000010", "AK"),
        one_hot("ISIC_0000011_downsampled", "SCC"),
        one_hot("ISIC_0000012", "UNK"),
        *extra,
    )
    lines(
        root / "ISIC_2019_Training_Metadata.csv",
        "image,age_approx,anatom_site_general,lesion_id,sex",
        "ISIC_0000001,30,anterior torso,HAM_0000001,female",
        "ISIC_0000010,,head/neck,BCN_0000007,male",
        "ISIC_0000011_downsampled,55,,,",
        "ISIC_0000012,55,,MSK4_0011169,",
    )
    return root


def kinds(problems: pd.DataFrame) -> dict[str, int]:
    return problems["problem"].value_counts().to_dict()


def only(problems: pd.DataFrame) -> pd.Series:
    assert len(problems) == 1, problems.to_string()
    return problems.iloc[0]
