"""The moving average of the weights in training: what is validated and kept in their place."""

from fastai.callback.core import Callback
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class Averaging(Callback):
    """Keeps an exponential moving average of weights and statistics, and has it validated, and saved as the best, in their place.

    decay: of a step, once there have been many; at first (1 + step) / (10 + step), so that the start is forgotten. PyTorch's
    own AveragedModel does the averaging.
    """

    order = 70  # its model is in place before an epoch is scored

    def __init__(self, model: nn.Module, decay: float):
        self.decay, self.steps = decay, 0
        self.average = AveragedModel(model, use_buffers=True)

    def after_step(self) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.average.multi_avg_fn = get_ema_multi_avg_fn(decay)
        self.average.update_parameters(self.learn.model)

    def before_validate(self) -> None:
        self.trained, self.learn.model = self.learn.model, self.average.module.eval()

    def after_validate(self) -> None:
        self.learn.model = self.trained

    def state(self) -> dict:
        """For a checkpoint."""
        return {"steps": self.steps, "model": self.average.state_dict()}

    def load(self, state: dict) -> None:
        """As the checkpoint has it."""
        self.steps = state["steps"]
        self.average.load_state_dict(state["model"])
