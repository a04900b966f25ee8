"""The settings of a study: their defaults, what each may be, and which of them may be told."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import Any

SEVEN = ("baseline_cnn", "resnet50", "densenet121", "efficientnet_b3", "convnext_tiny", "mobilenetv3_large_100",
         "vit_base_patch16_224")  # fmt: skip


NO_IMAGES = "none"


class StudyError(ValueError):
    """A study that cannot be run as written. The message names the key, its value and the remedy."""


@dataclass(frozen=True)
class Study:
    """One study. Every field can be set in its TOML file, or with `--set key=value`."""

    name: str
    title: str = ""
    note: str = ""  # what must stand in every figure, beside what synthetic images or a leaking split call for
    seed: int = 0

    given: bool = False  # predictions are given (`lesionkit evaluate`): no image, no training, notebooks 03 and 04 only

    # data: phantoms are written if `phantoms` is above 0, else the folder is given with --data
    phantoms: int = 0  # how many synthetic internal images
    phantom_size: int = 96  # px
    external: str = ""  # your own images in place of ISIC 2019: their table, in a folder below the data's, with them; none: no images
    mapping: str = ""  # how to read it: a mapping that ships, or a .toml below the data's folder; "": by common names
    split: str = "lesion"  # lesion | image_leaky (siblings of a lesion on both sides: published set-ups only)
    fractions: tuple[float, ...] = (0.70, 0.15, 0.15)  # train, validation, test
    size: int = 224  # px, what the backbones see
    fit: str = "squash"  # how the frame becomes a square: squash | pad | crop
    frame: str = "keep"  # the black frame of a dermatoscope: keep | crop, to the rectangle inside
    colours: str = "keep"  # keep | shades_of_grey: the colour of the light is taken out of each image

    # backbones: any timm name, or your own where its table says `network`; weights: auto | imagenet | none | a folder of .safetensors
    backbones: tuple[str, ...] = SEVEN
    network: str = ""  # of one of the backbones: the timm name of what it is, so that one network can be several members
    weights: str = "auto"
    weights_dir: str = ""  # where `auto` looks when timm's hub cannot be reached; in a TOML, as seen from notebooks/

    ensemble: str = "mean"  # of the backbones: mean | weighted, by shares fitted on validation, for members of unlike strength

    # training
    epochs: int = 20
    batch_size: int = 32
    lr: float = 1e-3
    weight_decay: float = 0.05
    drop_rate: float = 0.1  # dropout before the classifier
    drop_path_rate: float = 0.1  # stochastic depth, where the backbone has it
    label_smoothing: float = 0.1
    mixup: float = 0.0  # alpha of the beta distribution; 0 is off
    cutmix: float = 0.0  # the same; with both on, half of the batches are of each
    adjust: float = 0.0  # times the log of the classes' shares in training is added to the logits there: 1 is balanced softmax; 0 is off
    average: float = 0.0  # decay a step of the moving average of the weights that is kept; 0 is off
    balance: float = 1.0  # sampling weight n_class ** -balance: 0 natural, 1 every class equally often
    schedule: str = "one_cycle"  # one_cycle | plateau
    depth_rate: float = 0.3  # pretrained weights: the upper half learns at this times the rate of the head, the lower at its square
    frozen_epochs: int = 1  # pretrained weights: epochs for the head, then as many for the upper half
    chosen_by: str = "balanced_accuracy"  # the epoch that is kept, on validation: balanced_accuracy | macro_auc, of ranks rather than calls
    patience: int = 8  # epochs without a better validation score before training stops
    precision: str = "auto"  # auto: the fastest on this machine that loses nothing, tried at start | fp32 | bf16 | fp16

    # how it is computed: HOW
    threads: int = 0  # of a CPU, for one training; 0: all that are here
    processes: int = 1  # that train one backbone together, a GPU each; every batch is shared out, dropout differs
    compile: bool = False  # torch.compile: minutes at first, then faster steps
    tracking: str = ""  # who is told of each epoch: tensorboard | wandb | mlflow | trackio; "" is nobody

    # augmentation, on the batch
    flips: bool = True  # the eight dihedral views
    rotation: float = 15.0  # degrees, either way
    crop: float = 0.6  # smallest share of the area that a random-resized crop keeps; 1 is off
    colour: float = 0.2  # strength of changes of brightness, contrast, saturation and colour cast; 0 is off
    oklab: float = 0.0  # strength of changes of light, contrast, gamma, chroma, hue and cast in a perceptual space; 0 is off
    policy: str = ""  # trivial | rand: TrivialAugment, RandAugment; "" is none
    fourier: float = 0.0  # share of images whose low frequencies are mixed with another image's
    hair: float = 0.0  # share of images with drawn hairs
    blur: float = 0.0  # share of images that are blurred
    discs: float = 0.0  # share of images put in the black frame of a dermatoscope

    tta: int = 1  # views averaged at inference: 1, the 8 dihedral ones, or 16: these, and the same of the centre, larger

    # evidence
    folds: int = 0  # 3 or more: each backbone is also trained once a fold of training and validation; 0 is off
    resamples: int = 2000  # of lesions, for the intervals

    # explanations
    explained: int = 1  # images of each class, outcome and confidence in the galleries
    scored: int = 24  # images of each class, inside and outside, whose heat maps are scored; 0: all there are
    curve_steps: int = 10  # of the deletion and insertion curves
    cams: tuple[str, ...] = ("gradcam", "gradcam++", "layercam", "hirescam", "eigencam")  # compared; the first is shown
    masks: str = "HAM10000_segmentations_lesion_tschandl"  # folder of lesion masks: a path, or below the images' folder

    # a table a backbone with the fields it sets differently, e.g. [backbone.resnet50] epochs = 5
    backbone: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    # notebook 07: the first backbone is trained again with each change, e.g. [candidate.discs] discs = 0.5; with after = "no_frame"
    # it is made on top of that candidate's, and compared with that candidate
    candidate: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    leave_archive_out: bool = False  # each is also trained without each of the sources of HAM10000, and scored on that one

    @property
    def synthetic(self) -> bool:
        """Whether the images are phantoms; figures then say so."""
        return self.phantoms > 0

    @property
    def own_images(self) -> bool:
        """Whether the external images are somebody's own."""
        return self.external not in ("", NO_IMAGES)

    @property
    def outside(self) -> bool:
        """Whether there are external images."""
        return self.external != NO_IMAGES

    def for_backbone(self, name: str) -> "Study":
        """The study as `name` is trained in it: its own table laid over the rest."""
        return dataclasses.replace(self, **self.backbone.get(name, {}), backbone={})

    def network_of(self, name: str) -> str:
        """The timm name of what backbone `name` is, or `baseline_cnn`."""
        return self.for_backbone(name).network or name

    def changed_for(self, name: str, **settings) -> "Study":
        """The study in which backbone `name` is trained with these settings instead."""
        return dataclasses.replace(self, backbone={**self.backbone, name: {**self.backbone.get(name, {}), **settings}})

    def as_candidate(self, name: str) -> "Study":
        """The study of the first backbone alone, with the changes of candidate `name`; "baseline" has none."""
        changes = {**self.backbone.get(self.backbones[0], {}), **self._changes(name)}
        return dataclasses.replace(self, backbones=self.backbones[:1], backbone={}, candidate={}, **changes)

    def _changes(self, name: str) -> dict[str, Any]:
        own = {**self.candidate.get(name, {})}
        after = own.pop("after", "")
        return {**self._changes(after), **own} if after else own

    @property
    def predecessors(self) -> dict[str, str]:
        """What each candidate is compared with: the one that it names with `after`, or "baseline"."""
        return {name: own.get("after", "baseline") for name, own in self.candidate.items()}

    def fingerprint(self, *fields: str) -> str:
        """A short hash of the named fields, or of all."""
        values = dataclasses.asdict(self)
        chosen = {key: values[key] for key in fields or values}
        return hashlib.blake2b(json.dumps(chosen, sort_keys=True).encode(), digest_size=8).hexdigest()


CHOICES = {
    "split": ("lesion", "image_leaky"),
    "fit": ("squash", "pad", "crop"),
    "frame": ("keep", "crop"),
    "colours": ("keep", "shades_of_grey"),
    "policy": ("trivial", "rand", ""),
    "ensemble": ("mean", "weighted"),
    "chosen_by": ("balanced_accuracy", "macro_auc"),
    "schedule": ("one_cycle", "plateau"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "tta": (1, 8, 16),
    "tracking": ("tensorboard", "wandb", "mlflow", "trackio", ""),
    "cams": ("gradcam", "gradcam++", "layercam", "hirescam", "eigencam", "scorecam"),  # any of them
}
RANGES = {  # smallest and largest
    "phantoms": (0, 100_000), "phantom_size": (32, 512), "size": (32, 1024), "epochs": (1, 1000),
    "batch_size": (1, 4096), "lr": (1e-7, 1.0), "weight_decay": (0, 1), "drop_rate": (0, 0.9),
    "drop_path_rate": (0, 0.9), "label_smoothing": (0, 0.5), "mixup": (0, 10), "balance": (0, 1),
    "frozen_epochs": (0, 100), "patience": (1, 1000), "rotation": (0, 180), "crop": (0.05, 1), "colour": (0, 1),
    "threads": (0, 1024), "processes": (1, 1024), "explained": (1, 20), "scored": (0, 100_000), "curve_steps": (2, 100),
    "cutmix": (0, 10), "adjust": (0, 3), "average": (0, 0.99999), "depth_rate": (0.001, 1), "oklab": (0, 1), "fourier": (0, 1),
    "hair": (0, 1), "blur": (0, 1), "discs": (0, 1), "folds": (0, 20), "resamples": (100, 100_000),
}  # fmt: skip
HOW = ("threads", "processes", "compile", "tracking")  # of no notebook's matter: a change of these makes none stale
FIXED = (
    "name", "title", "note", "given", "phantoms", "phantom_size", "external", "mapping", "split", "fractions", "fit", "frame",
    "backbones", "ensemble", "backbone", "candidate", "leave_archive_out",
    "resamples", "explained", "scored", "curve_steps", "cams", "masks",
)  # of the study as a whole: a [backbone.X] table cannot set them  # fmt: skip
OF_A_MEMBER = ("network",)  # of a [backbone.X] table; no candidate's, and of no study as a whole

WEIGHTS = ("weights", "weights_dir")  # settings that may name a folder, as seen from notebooks/
PLACES = (*WEIGHTS, "masks", "external", "mapping")  # all that may name a folder or a file of the machine


def public(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a study, or of one backbone, as they may be given away: of a folder or a file only its name is left."""
    kept = {key: _nameless(value) if key in PLACES else value for key, value in settings.items()}
    if "backbone" in kept and isinstance(kept["backbone"], Mapping):
        kept["backbone"] = {name: public(own) for name, own in kept["backbone"].items()}
    return kept


def _nameless(value: str) -> str:
    path = PureWindowsPath(value)  # takes either slash
    return f"…/{path.name}" if len(path.parts) > 1 or path.anchor else value
