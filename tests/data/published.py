"""What ISIC's storage and Harvard Dataverse serve, small."""

import hashlib
import io
import json
import random
import zipfile

from PIL import Image

from .releases import HAM_HEADER, HAM_ROWS, ISIC_LABELS, ham_names, one_hot
from .server import Stored

API = "/api/datasets/:persistentId/?persistentId=doi:10.7910/DVN/DBW86T"
TABLE = "\n".join([HAM_HEADER, *HAM_ROWS]).encode()
_CLASSES = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
TEST_TABLE = "\n".join([",".join(["image", *_CLASSES]), one_hot("ISIC_0000005", "AKIEC", _CLASSES),
                        one_hot("ISIC_0000006", "VASC", _CLASSES)]).encode()  # fmt: skip


def image():
    file = io.BytesIO()
    Image.frombytes("RGB", (64, 48), random.Random(3).randbytes(64 * 48 * 3)).save(file, "jpeg")
    return file.getvalue()


def packed(**files):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return archive.getvalue()


def images(folder, *names):
    return packed(**{folder + name: image() for name in names})


def listed(files):
    """What Dataverse's API says of files: (label, id, body, more)."""
    entries = [
        {"label": label, "restricted": False, "dataFile": {
            "id": number, "filename": label, "filesize": len(body), "md5": hashlib.md5(body).hexdigest(), **more}}
        for label, number, body, more in files
    ]  # fmt: skip
    return Stored(json.dumps({"status": "OK", "data": {"latestVersion": {"files": entries}}}).encode())


def dataverse():
    table = {"originalFileFormat": "text/csv", "originalFileName": "HAM10000_metadata", "originalFileSize": len(TABLE),
             "filesize": 7, "md5": "0" * 32}  # fmt: skip
    mask = "HAM10000_segmentations_lesion_tschandl"
    files = [
        ("HAM10000_metadata.tab", 1, TABLE, table),
        ("HAM10000_images_part_1.zip", 2, images("", *ham_names(1, 2)), {}),
        ("HAM10000_images_part_2.zip", 3, images("", *ham_names(3, 4)), {}),
        (f"{mask}.zip", 4, packed(**{f"{mask}/ISIC_0000001_segmentation.png": b"png", f"__MACOSX/{mask}/._x.png": b"x"}), {}),
    ]
    test = [f"ISIC2018_Task3_Test_{what}" for what in ("GroundTruth.tab", "Images.zip", "GroundTruth.csv")]
    more = {"originalFileFormat": "text/csv", "originalFileName": test[2], "originalFileSize": len(TEST_TABLE)}
    files += [(test[0], 5, TEST_TABLE, more), (test[1], 6, images("ISIC2018_Task3_Test_Images/", *ham_names(5, 6)), {})]
    bodies = {f"/api/access/datafile/{number}" + "?format=original" * bool(more): Stored(body) for _, number, body, more in files}
    return {API: listed(files)} | bodies


def isic2019():
    labels = [",".join(["image", *ISIC_LABELS]), *(one_hot(f"ISIC_{i:07}", "MEL") for i in (1, 2))]
    return {
        "/2019/ISIC_2019_Training_GroundTruth.csv": Stored("\n".join(labels).encode()),
        "/2019/ISIC_2019_Training_Metadata.csv": Stored(b"image,age_approx,anatom_site_general,lesion_id,sex\n"
                                                        b"ISIC_0000001,30,,HAM_1,male\nISIC_0000002,30,,BCN_2,male\n"),
        "/2019/ISIC_2019_Training_Input.zip": Stored(images("ISIC_2019_Training_Input/", *ham_names(1, 2))),
    }  # fmt: skip


def isic2018_test():
    """As ISIC has it, a licence beside the table and beside the images."""
    labels, inputs = "ISIC2018_Task3_Test_GroundTruth", "ISIC2018_Task3_Test_Input"
    photographs = {f"{inputs}/{name}": image() for name in ham_names(5, 6)}
    return {
        f"/2018/{labels}.zip": Stored(packed(**{f"{labels}/LICENSE.txt": b"CC", f"{labels}/{labels}.csv": TEST_TABLE})),
        f"/2018/{inputs}.zip": Stored(packed(**{f"{inputs}/LICENSE.txt": b"CC"}, **photographs)),
    }


def below(folder):
    return sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file() and not f.name.startswith("."))


HAM = [f"HAM10000_images_part_{part}/ISIC_{i:07}.jpg" for part, i in ((1, 1), (1, 2), (2, 3), (2, 4))]
HAM += ["HAM10000_metadata", "fetched.json"]
