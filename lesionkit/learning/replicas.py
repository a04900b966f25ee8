"""The model's replica in each of several processes, whose gradients are averaged. Loaded only there: it needs Accelerate."""

from accelerate import DistributedDataParallelKwargs
from fastai.distributed import DistributedTrainer
from timm.layers import convert_sync_batchnorm
from torch import distributed, nn

from lesionkit.learning.distributed import of_all


class Replicas(DistributedTrainer):
    """fastai's, for loaders that know their share, and with the replica in the passes of training alone.

    All else meets the bare model: validation, whose passes differ in number from process to process, and checkpoints.
    Mixed precision is left to the callbacks of one process.
    """

    def __init__(self, device: str):
        # Frozen groups get no gradient; the averages of norms are sent once an epoch instead of at each pass.
        how = DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)
        super().__init__(sync_bn=False, cpu=device == "cpu", kwargs_handlers=[how])
        self.synchronised = device == "cuda"  # the CPU has no batch norm over processes

    def before_fit(self) -> None:
        _check_alike(self.opt.param_lists)
        if self.synchronised:  # timm's, which knows its layers of norm and activation, and keeps the parameters
            self.learn.model = convert_sync_batchnorm(self.learn.model)
        super().before_fit()
        self.replica = self.learn.model
        self.learn.model = self.replica.module

    def _wrap_dl(self, dl):
        return dl

    def before_train(self) -> None:
        self.learn.model = self.replica

    def before_validate(self) -> None:
        self.learn.model = self.replica.module
        for buffer in self.learn.model.buffers():
            if buffer.is_floating_point():
                distributed.broadcast(buffer, 0)

    def after_fit(self) -> None:
        self.learn.model = self.replica.module


def _check_alike(groups: list[list[nn.Parameter]]) -> None:
    sizes = of_all([len(group) for group in groups])
    if any(one != sizes[0] for one in sizes):
        raise RuntimeError(
            f"the processes start from different weights (parameters a group: {sizes}), as the hub did not answer all: "
            "run it again, or give a folder of weights (--set weights=DIR)"
        )
