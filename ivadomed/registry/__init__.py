"""One declaration: what a configuration can name, and the arguments that it takes.

The signature of a loss, transform, network, metric or postprocessing step says its arguments, their types, ranges,
defaults and descriptions; sections of the configuration, JSON Schema, reference and checks are made from it::

    @loss
    class FocalLoss(nn.Module):
        "Sum of the focal loss (Lin et al., 2017)."

        def __init__(self, gamma: Annotated[NonNegativeReal, Doc("Focusing exponent (>= 0).", example=0.5)] = 2.0): ...

        @staticmethod
        def problems(gamma: float) -> list[str]: ...  # optional: faults of several arguments, "key: what is wrong"

`ivadomed.registry.types` holds the types; `ivadomed.registry.section` (pydantic) the fields of the configuration,
`OneOf` (a section whose `name` picks an entry) and `InOrder` (a section whose keys are entries, in order).
"""

from ivadomed.registry.registry import Registry, did_you_mean, nearest, parameters

__all__ = ["Registry", "did_you_mean", "nearest", "parameters"]
