"""What makes one model of several: what each of them weighs, and how sure it is taken to be."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from lesionkit.evidence.scaling import scaled


@dataclass(frozen=True)
class Mixture:
    """The mean of the members' probabilities by `shares`, each member scaled by its temperature before.

    shares: what each weighs, of sum 1. temperatures: of each, as of `scaling.temperature`; one without is taken as it is.
    """

    shares: Mapping[str, float]
    temperatures: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def equal(cls, names: Iterable[str]) -> "Mixture":
        """The plain mean of these members."""
        names = list(names)
        return cls(dict.fromkeys(names, 1 / len(names)))

    def table(self) -> pd.DataFrame:
        """model, share, temperature: a row a member; a temperature of 1 leaves it as it is."""
        rows = [(name, share, self.temperatures.get(name, 1.0)) for name, share in self.shares.items()]
        return pd.DataFrame(rows, columns=["model", "share", "temperature"])

    def scaled(self, name: str, p: np.ndarray) -> np.ndarray:
        """Probabilities p (n, 7) of a member as they are mixed."""
        t = self.temperatures.get(name, 1.0)
        return p if t == 1 else scaled(p, t)

    def of(self, p: Mapping[str, np.ndarray]) -> np.ndarray:
        """The mixture (n, 7), float64, of the probabilities (n, 7) of all members, in any order. Raises KeyError for another model."""
        parts = np.stack([self.scaled(name, one).astype(np.float64) for name, one in p.items()])
        return np.average(parts, axis=0, weights=[self.shares[name] for name in p])
