"""Anybody's table: what is recognised, what a mapping says, and what is refused or left out by name."""

import re
import tomllib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesionkit.data import mapping, own
from lesionkit.data.checking import check_own
from lesionkit.data.records import CLASSES, DataError

from .releases import kinds, only


def pictures(folder, *names):
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / name)
    return folder


def table(tmp_path, text, encoding="utf-8"):
    (tmp_path / "mine.csv").write_bytes(text.encode(encoding))
    return tmp_path / "mine.csv"


def toml(tmp_path, text):
    (tmp_path / "clinic.toml").write_text(text, encoding="utf-8")
    return str(tmp_path / "clinic.toml")


def read(folder, file, name=""):
    found = own.recognise(folder, file, name)
    assert not found.reading.problems["fatal"].any(), found.reading.problems.to_string()
    return found.reading.index.set_index("image_id"), found.reading.problems


def test_common_columns_and_labels_are_recognised(tmp_path):
    images = pictures(tmp_path / "i", "a.jpg", "b.JPG", "c.png", "d.tif")
    file = table(tmp_path, "IMG_ID,Diagnosis,Age_approx,Gender,Region,lesion_id,dx_type\na.jpg,MEL,54,M,Back,L1,histopathology\n"
                           "b,Basal Cell  Carcinoma,,female,,L1,\nc,bkl,30,?,face,,other\nd,Squamous cell carcinoma,1,w,,,\n")  # fmt: skip
    index, problems = read(images, file)
    assert index["dx"].tolist() == ["mel", "bcc", "bkl", "akiec"] and index["path"].tolist() == ["a.jpg", "b.JPG", "c.png", "d.tif"]
    assert index.loc["a", ["age", "sex", "site", "dx_type", "lesion_id", "source"]].tolist() == [54, "male", "back", "histo", "L1", "mine"]
    assert index["sex"].fillna("NA").tolist() == ["male", "female", "NA", "female"]
    assert index["lesion_id"].tolist() == ["L1", "L1", "c", "d"]  # else the image
    assert index.loc["d", "source_dx"] == "SCC"  # so that the results without it can stand beside
    assert set(problems["problem"]) == {"lesion of several classes"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("comma", [";", "\t"])
def test_tables_as_spreadsheets_write_them(tmp_path, encoding, comma):
    text = "Datei;Befund;Alter\r\na.jpg;Nävus;54,5\r\nb.jpg; nävus ;\r\n".replace(";", comma)
    clinic = toml(tmp_path, '[columns]\nimage = "datei"\nlabel = "Befund"\nage = "Alter"\n[labels]\n"Nävus" = "nv"\n')
    index, problems = read(pictures(tmp_path / "i", "a.jpg", "b.jpg"), table(tmp_path, text, encoding), clinic)
    assert index["dx"].tolist() == ["nv", "nv"] and set(index["source_dx"]) == {"Nävus"} and index.loc["a", "age"] == 54.5
    assert problems.empty


@pytest.mark.parametrize("cell, file", [
    ("x", "s/x.jpg"), ("x.jpg", "s/x.jpg"), ("X.JPG", "s/x.jpg"), ("s/x", "s/x.jpg"), ("./s/x.jpg", "s/x.jpg"),
    (r"S\X.jpg", "s/x.jpg"), (r"C:\export\s\x.jpg", "s/x.jpg"), ("/data/s/x.jpg", "s/x.jpg"), ("x.png", "s/x.jpg"),
    ("ISIC_1", "ISIC_1_downsampled.jpg"), ("case.1", "case.1.png"), ("t/x.jpg", ""), ("xx", ""), ("y", ""),
])  # fmt: skip
def test_the_file_that_a_row_means(tmp_path, cell, file):
    images = pictures(tmp_path / "i", "s/x.jpg", "case.1.png", "ISIC_1_downsampled.jpg", "s/y_segmentation.png")
    found = own.recognise(images, table(tmp_path, f"image,dx\n{cell},nv\n")).reading
    assert found.index["path"].tolist() == [file] * bool(file)
    assert ("row without image" in set(found.problems["problem"])) == (not file)


def test_names_that_repeat_are_told_apart_by_their_path(tmp_path):
    images = pictures(tmp_path / "i", "p1/1.jpg", "p2/1.jpg", "p2/2.jpg", "p2/3.jpg", "p2/3.png")
    index, problems = read(images, table(tmp_path, "image,dx\np1/1.jpg,nv\np2/1,mel\n1.jpg,mel\n2,df\n3.png,bcc\np3/2,df\n"))
    assert index["path"].to_dict() == {"p1/1": "p1/1.jpg", "p2/1": "p2/1.jpg", "2": "p2/2.jpg", "p2/3.png": "p2/3.png"}
    assert kinds(problems) == {"several images for a row": 1, "row without image": 1, "image without row": 1}
    assert problems.loc[problems["problem"] == "several images for a row", "file"].tolist() == ["mine.csv:4"]


def test_what_cannot_be_used_is_left_out_and_named(tmp_path):
    rows = ["a,mel,85+,", "b,scar,30,", "c,,30,", "d,nv,130,", "e,nv,30,", "e,nv,30,", "f,nv,1,", "f,mel,1,", ",nv,,", "gone,nv,,"]
    clinic = toml(tmp_path, '[labels]\nScar = ""\n')
    images = pictures(tmp_path / "i", *(f"{name}.jpg" for name in "abcdefz"))
    index, problems = read(images, table(tmp_path, "\n".join(["image,dx,age,site", *rows])), clinic)
    assert sorted(index.index) == ["a", "d", "e"] and index["age"].isna().to_dict() == {"a": True, "d": True, "e": False}
    found = problems.groupby("problem")["file"].agg(sorted).to_dict()
    assert found == {
        "age is no number of years": ["mine.csv:2", "mine.csv:5"], "label of no class": ["mine.csv:3"], "row without label": ["mine.csv:4"],
        "several rows for an image": ["mine.csv:7", "mine.csv:8", "mine.csv:9"], "row without image": ["mine.csv:10", "mine.csv:11"],
        "image without row": ["z.jpg"]}  # fmt: skip


def test_sex_is_known_in_several_languages_and_what_is_not_is_named(tmp_path):
    words = ["weiblich", "Männlich", "f", "unknown", "", "divers", "Male"]
    images = pictures(tmp_path / "i", *(f"{name}.jpg" for name in "abcdefg"))
    rows = [f"{name},nv,{word}" for name, word in zip("abcdefg", words)]
    index, problems = read(images, table(tmp_path, "\n".join(["image,dx,sex", *rows])))
    assert index["sex"].fillna("").tolist() == ["female", "male", "female", "", "", "", "male"]
    assert problems[["problem", "file"]].to_numpy().tolist() == [["sex is no word that is known", "mine.csv:7"]]


def test_one_hot_labels(tmp_path):
    file = table(tmp_path, "image,MEL,NV,SCC,UNK\na,1,0,0,0\nb,0,0,1.0,0\nc,0,0,0,1\nd,1,1,0,0\n")
    index, problems = read(pictures(tmp_path / "i", "a.jpg", "b.jpg", "c.jpg", "d.jpg"), file, toml(tmp_path, '[labels]\nunk = ""'))
    assert index["dx"].to_dict() == {"a": "mel", "b": "akiec"}
    assert kinds(problems) == {"label of no class": 1, "row without label": 1}


def test_columns_of_labels_of_which_some_are_not_known_stop(tmp_path):
    """As ISIC 2017 has them: without the second column the melanomas alone would be the external set."""
    images = pictures(tmp_path / "i", *(f"{name}.jpg" for name in "abcde"))
    file = table(tmp_path, "image_id,melanoma,seborrheic_keratosis,biopsied\na,1,0,1\nb,0,1,1\nc,0,1,0\nd,1,0,0\ne,0,0,0\n")
    report = check_own(images, file)
    row = only(report.problems)
    assert report.fatal and row["problem"] == "labels not one-hot" and "melanoma" in row["remedy"]
    assert "3 of 5 rows" in row["remedy"] and "seborrheic_keratosis may be" in row["remedy"] and "biopsied" not in row["remedy"]
    filled = report.template.replace('"seborrheic_keratosis" = "?"  # 2 rows', '"seborrheic_keratosis" = "bkl"')
    assert '"melanoma" = "mel"  # 2 rows' in filled and "label = " not in filled
    index, problems = read(images, file, toml(tmp_path, filled))
    assert index["dx"].to_dict() == {"a": "mel", "b": "bkl", "c": "bkl", "d": "mel"} and kinds(problems) == {"row without label": 1}


@pytest.mark.parametrize("text, said", [
    ("image,MEL\na,1\nb,1\n", "0 of 2 rows"),  # one class alone
    ("image,MEL,BKL\na,1,0\nb,0,0\nc,0,0\n", "2 of 3 rows .* Add a column"),  # most are something else
])  # fmt: skip
def test_labels_that_say_little_of_most_rows_stop(tmp_path, text, said):
    report = check_own(pictures(tmp_path / "i", "a.jpg", "b.jpg", "c.jpg"), table(tmp_path, text))
    assert report.fatal and re.search(said, only(report.problems)["remedy"])


@pytest.mark.parametrize("theirs, expected", [
    ("bkl", ["akiec", "bkl"]), ("", ["akiec"]), ("SCC", ["akiec", "akiec"]), ("mel", ["akiec", "mel"]),
])  # fmt: skip
def test_a_label_that_is_called_scc_may_mean_something_else(tmp_path, theirs, expected):
    clinic = toml(tmp_path, f'[labels]\nPlattenepithel = "SCC"\nSCC = "{theirs}"\n')
    images = pictures(tmp_path / "i", "a.jpg", "b.jpg")
    index, _ = read(images, table(tmp_path, "image,dx\na,Plattenepithel\nb,SCC\n"), clinic)
    assert index["dx"].tolist() == expected
    assert index["source_dx"].eq("SCC").tolist() == [True, theirs == "SCC"][: len(expected)]


def test_lines_are_those_of_the_file(tmp_path):
    text = '\nimage;dx;note\na;nv;"two\nlines"\n\n;;\n ;  ;\ngone;nv;\n'
    problems = read(pictures(tmp_path / "i", "a.jpg"), table(tmp_path, text))[1]
    assert only(problems)["file"] == "mine.csv:8"


def test_lesions_patients_and_images_of_one_name_are_told_apart(tmp_path):
    rows = "image,dx,lesion,patient\na,nv,3,1\nb,mel,,3\nc,nv,,3\n3,df,,\nd,nv,,4\n"
    index, problems = read(pictures(tmp_path / "i", *(f"{name}.jpg" for name in "abc3d")), table(tmp_path, rows))
    assert index["lesion_id"].to_dict() == {"3": "image 3", "a": "3", "b": "patient 3", "c": "patient 3", "d": "4"}
    assert problems.empty  # a patient may have lesions of several classes


def test_the_mapping_to_fill_in_keeps_what_is_settled(tmp_path):
    images = pictures(tmp_path / "i", "a.jpg", "b.jpg", "c.jpg")
    file = table(tmp_path, "image,one,two,how\na,Melanom,,B\nb,,Warze,B\nc,,Warze,\n")
    clinic = toml(tmp_path, 'title = "Ours"\nnote = "Said \\"so\\""\n[columns]\nlabel = ["one", "two"]\nconfirmation = "how"\n'
                            '[labels]\nMelanom = "mel"\nNarbe = ""\n[confirmation]\nB = "histo"\n')  # fmt: skip
    report = check_own(images, file, clinic)
    assert report.as_dict()["template"] == report.template and report.fatal
    assert tomllib.loads(report.template) == {
        "title": "Ours", "note": 'Said "so"', "columns": {"image": "image", "label": ["one", "two"], "confirmation": "how"},
        "labels": {"Warze": "?", "Melanom": "mel", "Narbe": ""}, "confirmation": {"B": "histo"}}  # fmt: skip
    index, _ = read(images, file, toml(tmp_path, report.template.replace('"?"', '"bkl"')))
    assert index["dx"].tolist() == ["mel", "bkl", "bkl"] and index["dx_type"].tolist()[:2] == ["histo"] * 2
    assert "template" not in check_own(images, file, str(tmp_path / "clinic.toml")).as_dict()


def test_a_new_label_of_a_mapping_that_ships_gets_all_of_it_to_fill_in(tmp_path):
    file = table(tmp_path, "isic_id,diagnosis_2,diagnosis_3\na,,Nevus\nb,Wart,\n")
    found = tomllib.loads(check_own(pictures(tmp_path / "i", "a.jpg", "b.jpg"), file, "bcn20000").template)
    assert found["columns"] == {"image": "isic_id", "label": ["diagnosis_3", "diagnosis_2"]} and found["title"] == "BCN20000"
    assert found["labels"]["Wart"] == "?" and found["labels"]["Nevus"] == "nv" and found["labels"]["MEL"] == "mel"


def test_lesions_are_those_of_a_patient_and_else_the_patient(tmp_path):
    rows = "image,dx,lesion,patient\na,nv,1,P1\nb,nv,1,P2\nc,nv,7,P2\nd,mel,,P3\ne,nv,,P3\nf,nv,,\n"
    index, problems = read(pictures(tmp_path / "i", *(f"{name}.jpg" for name in "abcdef")), table(tmp_path, rows))
    assert index["lesion_id"].tolist() == ["P1/1", "P2/1", "7", "P3", "P3", "f"] and problems.empty


@pytest.mark.parametrize("text, problem, said", [
    ("file_of,dx\na,nv\n", "no column of images", "file_of, dx"), ("image,what\na,nv\n", "no column of labels", "image, what"),
    ("image,dx,diagnosis\na,nv,nv\n", "several columns of labels", "dx, diagnosis"),
    ("image,dx\na,Naevus?\nb,naevus? \nb,nv\n", "unknown label", "'Naevus?' (2)"),
])  # fmt: skip
def test_what_is_not_understood_stops_and_gets_a_mapping_to_fill_in(tmp_path, text, problem, said):
    images = pictures(tmp_path / "i", "a.jpg", "b.jpg")
    report = check_own(images, table(tmp_path, text))
    row = only(report.problems)
    assert report.fatal and row["problem"] == problem and said in row["remedy"]
    assert report.template and report.render().endswith(report.template) and '= "?"' in report.template
    filled = report.template.replace('"Naevus?" = "?"', '"Naevus?" = "nv"').replace('image = "?"', 'image = "file_of"')
    filled = filled.replace('label = "?"', f'label = "{text.split(",")[1].split()[0]}"')
    assert not check_own(images, table(tmp_path, text), toml(tmp_path, filled)).fatal


@pytest.mark.parametrize("text, said", [
    ("columns = 1", "there are title, note and the tables"), ("[label]\na = 'nv'", "it says label"), ("[columns]\nimages = 'a'", "images"),
    ("[confirmation]\nx = 'biopsy'", "'x' = 'biopsy': one of histo"), ("note = 3", "note = 3: give text"), ("title = ['a']", "title = "),
    ("[columns]\nimage = '?'", "name a column"), ("[columns]\nimage = 3", "name a column"), ("[labels]\na = '?'", "'a' = '\\?'"),
    ("[labels]\na = 'wart'", "one of akiec"), ("[labels\n", "no valid TOML|not valid TOML"),
])  # fmt: skip
def test_a_mapping_that_says_what_cannot_be_is_refused(tmp_path, text, said):
    with pytest.raises(DataError, match=said):
        mapping.load(toml(tmp_path, text))
    with pytest.raises(DataError, match="no mapping 'derm8pt': use one of bcn20000, derm7pt, pad-ufes-20"):
        mapping.load("derm8pt")


def test_a_table_that_is_none_is_named(tmp_path):
    images = pictures(tmp_path / "i", "a.jpg")
    for content, said in ((b"PK\x03\x04", "save it as CSV"), (b"", "unreadable table")):
        (tmp_path / "x.xlsx").write_bytes(content)
        with pytest.raises(DataError, match=said):
            own.recognise(images, tmp_path / "x.xlsx")
    with pytest.raises(DataError, match="No such file"):
        own.recognise(images, tmp_path / "none.csv")


def test_a_column_that_a_mapping_names_is_missed_where_it_is_not_there(tmp_path):
    images, file = pictures(tmp_path / "i", "a.jpg"), table(tmp_path, "image,dx,lesion\na,nv,L\n")
    index, problems = read(images, file, toml(tmp_path, "[columns]\nlesion = 'Fall'"))
    assert index.loc["a", "lesion_id"] == "a" and only(problems)["remedy"] == "Fall (lesion) is not there, and left empty."
    row = only(check_own(images, file, toml(tmp_path, "[columns]\nimage = 'Bild'")).problems)
    assert row["fatal"] and row["remedy"].startswith("Bild (image) is not there. The table has image, dx, lesion.")


SHIPPED = {  # rows as the releases have them: labels, and the classes that they become
    "derm7pt": ("case_num,diagnosis,seven_point_score,location,sex,management,clinic,derm,case_id,notes",
                "{k},{label},3,back,female,excision,x/c{k}.jpg,x/{k}.jpg,,",
                {"clark nevus": "nv", "melanoma (in situ)": "mel", "lentigo": "bkl", "vascular lesion": "vasc", "melanosis": None}),
    "pad-ufes-20": ("patient_id,lesion_id,age,gender,region,diagnostic,img_id,biopsed", "PAT_{k},{k},55,FEMALE,ARM,{label},{k}.jpg,True",
                    {"ACK": "akiec", "BCC": "bcc", "MEL": "mel", "NEV": "nv", "SCC": "akiec", "SEK": "bkl"}),
    "bcn20000": ("bcn_filename,age_approx,anatom_site_general,diagnosis,lesion_id,capture_date,sex,split",
                 "{k}.jpg,55.0,anterior torso,{label},BCN_{k},2012-05-16,female,train", {"MEL": "mel", "SCC": "akiec", "VASC": "vasc"}),
}  # fmt: skip


@pytest.mark.parametrize("name", SHIPPED)
def test_the_mappings_that_ship_read_their_releases(tmp_path, name):
    header, row, classes = SHIPPED[name]
    lines = [row.format(k=k, label=label) for k, label in enumerate(classes)]
    images = pictures(tmp_path / "i" / "x", *(f"{k}.jpg" for k in range(len(classes))))
    found = own.recognise(images.parent, table(tmp_path, "\n".join([header, *lines])), name)
    index = found.reading.index
    assert index["dx"].tolist() == [dx for dx in classes.values() if dx] and index["sex"].eq("female").all()
    assert ("not dermoscopy" in found.reading.record.note) == (name == "pad-ufes-20")
    assert name == "derm7pt" or index["age"].eq(55).all()
    assert name != "pad-ufes-20" or (index["dx_type"].eq("histo").all() and index["source_dx"].tolist()[4] == "SCC")


def test_bcn20000_as_the_archive_exports_it(tmp_path):
    rows = ["ISIC_1,IL_1,Benign,Benign melanocytic proliferations,Nevus",
            "ISIC_3,IL_3,Benign,Benign soft tissue proliferations - Fibro-histiocytic,Scar",
            "ISIC_2,IL_2,Benign,Benign soft tissue proliferations - Vascular,", "ISIC_4,IL_4,,,"]  # fmt: skip
    images = pictures(tmp_path / "i", *(f"ISIC_{k}.jpg" for k in (1, 2, 3, 4)))
    index, problems = read(images, table(tmp_path, "\n".join(["isic_id,lesion_id,diagnosis_1,diagnosis_2,diagnosis_3", *rows])), "bcn20000")
    assert index["dx"].to_dict() == {"ISIC_1": "nv", "ISIC_2": "vasc"}
    assert kinds(problems) == {"label of no class": 1, "row without label": 1}


def test_every_mapping_that_ships_reaches_classes_only():
    assert mapping.available() == ["bcn20000", "derm7pt", "pad-ufes-20"]
    for name in ("", *mapping.available()):
        how = mapping.load(name)
        assert set(map(mapping.class_of, how.labels.values())) <= {*CLASSES, ""}
        assert mapping.class_of(how.labels[mapping.key("  SCC ")]) == "akiec" and pd.Series(how.labels).ne("?").all()


def test_own_images_in_place_of_isic_2019(tmp_path):
    pictures(tmp_path / "data" / "clinic", "x/a.jpg", "b.jpg")
    (tmp_path / "data" / "clinic" / "table.csv").write_text("image,dx\na,Mel\nb,N\n")
    (tmp_path / "data" / "clinic.toml").write_text('[labels]\nN = "nv"\n')
    index, problems = own.external(tmp_path / "data", "clinic/table.csv", "clinic.toml")
    assert index["path"].tolist() == ["clinic/x/a.jpg", "clinic/b.jpg"] and index["dx"].tolist() == ["mel", "nv"] and problems.empty
    assert all((tmp_path / "data" / path).exists() for path in index["path"])
    with pytest.raises(DataError, match="unknown label .*'N' "):
        own.external(tmp_path / "data", "clinic/table.csv")
    with pytest.raises(DataError, match="ISIC 2019"):
        own.external(tmp_path / "data")
