import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from lesionkit import settings as known
from lesionkit import study as studies
from lesionkit.learning import training
from lesionkit.settings import HOW, PLACES, SEVEN, public
from lesionkit.study import Study, StudyError, load


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine"):
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("name", studies.available())
def test_every_study_that_ships_loads(name):
    study = load(name)
    assert study.name == name and study.title and study.backbones


def test_the_studies_differ_as_they_say():
    assert {"demo", "full", "isic84", "paper"} <= set(studies.available())
    assert all(set(SEVEN) <= set(load(name).backbones) for name in ("demo", "full", "isic84", "paper"))
    paper, full = load("paper"), load("full")
    assert paper.split == "image_leaky" and full.split == "lesion" and paper.weights == "imagenet"
    before = {"ensemble": "mean", "frame": "keep", "crop": 0.6, "chosen_by": "balanced_accuracy", "tta": 1}
    assert dataclasses.replace(full, name="paper", title=paper.title, split="image_leaky", **before) == paper
    assert (full.size, full.for_backbone("efficientnet_b3").size) == (224, 300)


def test_a_file_names_what_differs_and_the_file_names_the_study(write):
    study = load(write('backbones = ["resnet50"]\nlr = 1'))
    assert study == dataclasses.replace(Study(name="mine"), backbones=("resnet50",), lr=1.0)
    assert type(study.lr) is float


def test_a_file_may_start_from_another_study(write):
    assert load(write('base = "full"\nepochs = 2')) == dataclasses.replace(load("full"), name="mine", epochs=2)


@pytest.mark.parametrize(("item", "field", "value"), [
    ("epochs=1", "epochs", 1), ("lr=1e-4", "lr", 1e-4), ("flips=false", "flips", False), ("mixup=1", "mixup", 1.0),
    ('backbones=["resnet50"]', "backbones", ("resnet50",)), ("weights=../some folder/x", "weights", "../some folder/x"),
    ('weights="none"', "weights", "none"), ("backbone.resnet50.lr=1e-4", "backbone", {"resnet50": {"lr": 1e-4}}),
    ("title=a=b", "title", "a=b"),
])  # fmt: skip
def test_an_override_is_toml_or_text(write, item, field, value):
    assert getattr(load(write(""), [item]), field) == value


def test_overrides_join_the_table_of_a_backbone(write):
    study = load(write("[backbone.resnet50]\nepochs = 9\nlr = 0.01"), ["backbone.resnet50.lr=0.1"])
    assert study.backbone == {"resnet50": {"epochs": 9, "lr": 0.1}}


def test_an_override_holds_for_every_backbone_unless_it_names_one(write):
    file = write("epochs = 3\n[backbone.resnet50]\nepochs = 9\nlr = 0.01")
    study = load(file, ["epochs=1"])
    assert study.for_backbone("resnet50").epochs == 1 and study.for_backbone("resnet50").lr == 0.01
    assert load(file, ["epochs=1", "backbone.resnet50.epochs=5"]).for_backbone("resnet50").epochs == 5
    assert load(file).for_backbone("resnet50").epochs == 9


@pytest.mark.parametrize(("item", "message"), [
    ("epochs", "write key=value"), ("epoch=1", "did you mean 'epochs'"), ("zzz=1", "no key 'zzz'"), ("=1", "not a key"),
    ("epochs=0", "between 1 and 1000"), ("epochs=few", "must be int"), ("epochs=1.5", "must be int"),
    ("flips=1", "must be bool"), ("split=image", "one of lesion, image_leaky"), ("tta=4", "one of 1, 8"),
    ("backbones=[]", "at least one"), ('backbones=["a","a"]', "each once"), ("backbones=resnet50", "must be"),
    ("fractions=[0.5,0.5]", "three shares"), ("fractions=[0.9,0.2,0.1]", "three shares"), ("fractions=[1,0,0]", "three shares"),
    ("backbone.resnet50.split=lesion", "set split instead"), ("backbone.resnet50.epochs=0", "between"),
    ("backbone.resnet50.epoch=1", "did you mean 'epochs'"), ("backbone=3", "must be"),
    ("a b=1", "not a key"), ("network=resnet50", "belongs in a table of one of the backbones"),
    ("cams=[]", "at least one method"), ('cams=["gradcam", "lime"]', "one of gradcam, gradcam"), ("cams=gradcam", "must be"),
    ("backbone.resnet50.cams=['gradcam']", "set cams instead"), ("scored=-1", "between 0"),
    ("lr=5", "between"), ("fractions=[0.5,0.5,0.5]", "sum to 1"),
])  # fmt: skip
def test_what_cannot_be_is_named_with_its_remedy(write, item, message):
    with pytest.raises(StudyError, match=message):
        load(write(""), [item])


def test_an_unknown_study_and_a_broken_file_are_named(write):
    with pytest.raises(StudyError, match="no study 'dmo': use one of demo"):
        load("dmo")
    with pytest.raises(StudyError, match="not valid TOML"):
        load(write("epochs = = 1"))
    with pytest.raises(StudyError, match="no study"):
        load("nowhere/x.toml")


def test_a_backbone_s_own_table_is_laid_over_the_rest(write):
    study = load(write("epochs = 3\n[backbone.resnet50]\nepochs = 9"))
    assert study.for_backbone("resnet50").epochs == 9 and study.for_backbone("densenet121").epochs == 3
    assert study.for_backbone("resnet50").backbone == {} and study.epochs == 3


def test_phantoms_make_a_study_synthetic():
    assert load("demo").synthetic and not load("full").synthetic


def test_a_fingerprint_sees_the_fields_it_is_asked_for():
    one, other = Study(name="a", epochs=3), Study(name="a", epochs=4)
    assert one.fingerprint() == Study(name="a", epochs=3).fingerprint() != other.fingerprint()
    assert one.fingerprint("lr", "seed") == other.fingerprint("lr", "seed")


def test_folds_leave_one_to_score_and_one_to_choose_the_epoch(write):
    study = load(write("[backbone.resnet50]\nfolds = 5"))
    assert study.for_backbone("resnet50").folds == 5 and study.for_backbone("densenet121").folds == 0
    with pytest.raises(StudyError, match="folds = 2: 0, or at least 3"):
        load(write("[backbone.resnet50]\nfolds = 2"))
    with pytest.raises(StudyError, match="folds: are by lesion, and the split is by image"):
        load("paper", ["folds=5"])


def test_a_backbone_can_be_trained_otherwise(write):
    study = load(write("[backbone.resnet50]\nepochs = 9"))
    changed = study.changed_for("resnet50", balance=0.0)
    assert (changed.for_backbone("resnet50").balance, changed.for_backbone("resnet50").epochs) == (0.0, 9)
    assert study.for_backbone("resnet50").balance == 1.0 and changed.for_backbone("densenet121").balance == 1.0


def test_a_batch_parts_into_equal_shares_of_the_processes():
    assert load("demo", ["processes=4"]).processes == 4
    with pytest.raises(StudyError, match="processes = 3: batch_size = 32 does not part"):
        load("demo", ["backbone.resnet50.processes=3"])


def test_threads_and_compiling_decide_the_last_bits_of_a_model_and_processes_more():
    assert set(HOW) < {field.name for field in dataclasses.fields(Study)}
    assert set(HOW) & set(training.SETTINGS) == {"processes"}  # each draws its own dropout


@pytest.mark.parametrize(("overrides", "message"), [
    (["external=clinic/table.csv"], "phantoms bring their own"), (["mapping=derm7pt"], "set external to their table"),
])  # fmt: skip
def test_own_images_need_a_table_and_no_phantoms(overrides, message):
    with pytest.raises(StudyError, match=message):
        load("demo", overrides)
    assert load("full", ["external=clinic/table.csv", "mapping=derm7pt"]).mapping == "derm7pt"


@pytest.mark.parametrize("place", ["/data/clinic/table.csv", "table.csv", "../clinic/table.csv"])
def test_the_table_of_own_images_lies_in_a_folder_of_its_own(place):
    with pytest.raises(StudyError, match=f"external = '{place}': give the table's path below .* in a folder of its own"):
        load("full", [f"external={place}"])


@pytest.mark.parametrize(("value", "left"), [
    ("auto", "auto"), ("", ""), ("HAM10000_segmentations_lesion_tschandl", "HAM10000_segmentations_lesion_tschandl"),
    ("derm7pt", "derm7pt"), ("/home/anna/nets", "…/nets"), ("../../anna/nets", "…/nets"), ("anna/own.csv", "…/own.csv"),
    ("~/nets", "…/nets"), (r"C:\anna\nets", "…/nets"), (r"\\server\share\nets", "…/nets"),
])  # fmt: skip
@pytest.mark.parametrize("key", PLACES)
def test_of_a_place_only_its_name_is_public(key, value, left):
    settings = dataclasses.asdict(Study(name="a/b", backbone={"resnet50": {key: value, "lr": 0.1}}, **{key: value}))
    assert public(settings) == settings | {key: left, "backbone": {"resnet50": {key: left, "lr": 0.1}}}


def test_every_setting_that_is_a_path_is_a_place():
    """The fields of `Study` whose comment or values speak of a folder, a path, a table or a file."""
    lines = [line.split(":")[0].strip() for line in Path(known.__file__).read_text(encoding="utf-8").splitlines()
             if re.match(r'    \w+: str = ".*(folder|path|table|\.toml|looks)', line)]  # fmt: skip
    assert set(lines) | {"weights"} == set(PLACES)


def test_a_candidate_is_made_on_the_one_that_it_comes_after():
    study = load("demo", ["candidate.slow.lr=1e-5", "candidate.slow.after=with_frame", "candidate.slow.frame=crop",
                          "candidate.last.after=slow", "candidate.last.tta=8"])  # fmt: skip
    last = study.as_candidate("last")
    assert (last.lr, last.frame, last.tta) == (1e-5, "crop", 8) and study.as_candidate("slow").tta == 1
    assert study.predecessors == {"with_frame": "baseline", "slow": "with_frame", "last": "slow"}


@pytest.mark.parametrize(("candidate", "name"), [("baseline", "isic84_baseline"), ("recipe", "isic84")])
def test_the_gain_is_that_of_isic84_over_its_baseline(candidate, name):
    measured, study = load("gain84").as_candidate(candidate), load(name).for_backbone("tf_efficientnet_lite0")
    of_the_study = {"name", "title", "backbones", "candidate", "ensemble", "seed"}  # its members have seeds of their own
    assert {key for key, value in vars(measured).items() if value != getattr(study, key)} <= of_the_study


def test_the_recipe_is_the_default_everywhere():
    recipe = load("gain84").candidate["recipe"]
    of_pixels = {key: value for key, value in recipe.items() if key in ("frame", "crop", "chosen_by")}
    for name in ("isic84", "ham224", "full", "demo"):
        study = load(name).for_backbone("tf_efficientnet_lite0")
        assert {key: getattr(study, key) for key in of_pixels} == of_pixels and study.tta == (1 if name == "demo" else recipe["tta"])


@pytest.mark.parametrize("name", ["isic84", "full", "demo"])
def test_the_recipe_names_every_switch_that_was_a_candidate(name):
    tried = {key for changes in load("robust84").candidate.values() for key in changes} - {"after", "balance"}
    assert tried <= tomllib.loads((studies.STUDIES / f"{name}.toml").read_text()).keys()


def test_a_candidate_is_the_first_backbone_with_its_changes_alone():
    study = load("demo", ["candidate.slow.lr=1e-5", "backbone.baseline_cnn.epochs=7"])
    one, baseline = study.as_candidate("slow"), study.as_candidate("baseline")
    assert one.backbones == ("baseline_cnn",) and (one.lr, one.epochs) == (1e-5, 7) and not one.candidate and not one.backbone
    again = load("demo", ["candidate.again.seed=5", "candidate.then.after=again", "candidate.then.lr=1e-5"])
    assert again.as_candidate("then").seed == 5 and again.as_candidate("baseline").seed == again.seed == 0
    assert dataclasses.replace(one, lr=baseline.lr) == baseline and baseline.lr == study.for_backbone("baseline_cnn").lr


@pytest.mark.parametrize(("change", "message"), [
    ("candidate.baseline.lr=1e-3", "candidate.baseline: is the name of what has no change"),
    ("candidate.x.after=y", "candidate.x.after = 'y': name a candidate whose table stands above it"),
    ("candidate.x.network=vgg11", "candidate.x.network: holds for the whole study"), ("candidate.x.lr=9", "lr = 9.0: between"),
])  # fmt: skip
def test_a_candidate_that_cannot_be_is_said(change, message):
    with pytest.raises(StudyError, match=re.escape(message)):
        load("demo", [change])
