"""A member of an ensemble as an ONNX file: from the pixels that it sees to the probabilities that the ensemble averages."""

import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lesionkit.data.records import CLASSES
from lesionkit.learning.augmentation import normalise, to_float
from lesionkit.learning.inference import Member, averaged, dihedral_views, logits_of_members

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18
TOLERANCE = 1e-4  # of a probability
INPUT, OUTPUT = "images", "probabilities"


class ConversionError(RuntimeError):
    """A member that cannot be had as ONNX. The message says which, and what to do."""


class AsUsed(nn.Module):
    """uint8 RGB images (n, size, size, 3) to probabilities (n, 7): scaling, normalisation and all views are inside."""

    def __init__(self, model: nn.Module, normalisation: tuple, views: int) -> None:
        super().__init__()
        self.model, self.normalisation, self.views = model, normalisation, views

    def forward(self, images: Tensor) -> Tensor:
        x = normalise(to_float(images), *self.normalisation)  # (n, 3, size, size)
        logits = self.model(torch.cat(dihedral_views(x, self.views)))  # (views * n, 7)
        return logits.softmax(1).view(self.views, -1, len(CLASSES)).mean(0)


def missing() -> list[str]:
    """The packages that converting and checking need and that are not installed."""
    return [name for name in PACKAGES if find_spec(name) is None]


def to_onnx(name: str, member: Member, file: Path) -> None:
    """Write a member on the CPU as ONNX, for any number of images. Raises ConversionError."""
    import onnx

    model, config, views = member
    whole = AsUsed(model.to(memory_format=torch.contiguous_format), config["normalisation"], views).eval()
    size = config["study"]["size"]
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own future
            program = torch.onnx.export(
                whole, (example,), dynamo=True, verbose=False, opset_version=OPSET, input_names=[INPUT],
                output_names=[OUTPUT], dynamic_shapes=({0: torch.export.Dim("n")},),
            )  # fmt: skip
        proto = program.model_proto
        _forget_sources(proto)
        onnx.helper.set_model_props(proto, {"classes": ",".join(CLASSES), "backbone": name})
        onnx.save(proto, file)
    except Exception as error:  # a network that the exporter cannot follow: it has no one kind of error for that
        reason = str(error).strip().split("\n")[0]
        raise ConversionError(f"{name} cannot be converted to ONNX ({reason}): leave ONNX out with --no-onnx") from error


def _forget_sources(message) -> None:
    """Take out of a protobuf message and of all within it where in which source file a node comes from: paths of a machine."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                _forget_sources(part)


def largest_difference(member: Member, file: Path, images: np.ndarray) -> float:
    """The largest difference of a probability between onnxruntime and `inference`, of uint8 images (n, size, size, 3).

    In one batch, and of the first image alone, so that the number of images is seen to be free.
    """
    import onnxruntime

    expected = averaged(logits_of_members([member], images)[0])
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found = [session.run([OUTPUT], {INPUT: images[:n]})[0] for n in (len(images), 1)]
    return float(max(np.abs(p - expected[: len(p)]).max() for p in found))


def check(name: str, member: Member, file: Path, images: np.ndarray) -> float:
    """`largest_difference`. Raises ConversionError where it is above TOLERANCE, or not a number."""
    found = largest_difference(member, file, images)
    if not found <= TOLERANCE:
        raise ConversionError(
            f"{name} as ONNX differs from PyTorch by {found:.1e} in a probability, of {TOLERANCE:.0e} allowed: "
            "leave ONNX out with --no-onnx"
        )
    return found
