"""`postprocessing` and `uncertainty`: what happens to predictions, in the order of the keys."""

from __future__ import annotations

from ivadomed.registry.section import OrderedSteps, Section, key
from ivadomed.registry.types import Flag, NonNegative


class PostprocessingStep(Section):
    """A postprocessing step and its arguments."""


class PostprocessingSteps(OrderedSteps):
    """Steps in the order in which they run. Empty: predictions stay as the model gives them."""

    @property
    def threshold(self) -> float | None:
        """Threshold that makes masks; None where predictions stay soft."""
        thr = getattr(self.steps.get("binarize_prediction"), "thr", -1)
        return thr if thr >= 0 else None


class Uncertainty(Section):
    """Monte Carlo estimates; computed when `n_it` > 0 and `epistemic` or `aleatoric` is true."""

    epistemic: Flag = key(False, "Uncertainty of the model: Monte Carlo dropout.")
    aleatoric: Flag = key(False, "Uncertainty of the data: test-time augmentation.")
    n_it: NonNegative = key(0, "Number of Monte Carlo iterations (>= 0); 0: none.", 20)

    @property
    def applied(self) -> bool:
        """Whether uncertainty is computed at all."""
        return self.n_it > 0 and (self.epistemic or self.aleatoric)
