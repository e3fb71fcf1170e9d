"""Single declaration of everything that a configuration can name, with its arguments.

The signature of a loss, transform, network, metric or postprocessing step declares its arguments with their types,
ranges, defaults and descriptions; configuration sections, JSON Schema, reference and checks are generated from it::

    @loss
    class FocalLoss(nn.Module):
        "Sum of the focal loss (Lin et al., 2017)."

        def __init__(self, gamma: Annotated[NonNegativeReal, Doc("Focusing exponent (>= 0).", example=0.5)] = 2.0): ...

        @staticmethod
        def problems(gamma: float) -> list[str]: ...  # optional: contradictory arguments, "key: problem"

`ivadomed.registry.types` holds the types; `ivadomed.registry.section` (pydantic) the fields of the configuration,
`OneOf` (a section whose `name` selects an entry) and `InOrder` (a section whose keys are entries, in order).
"""

from ivadomed.registry.registry import Registry, did_you_mean, nearest, parameters

__all__ = ["Registry", "did_you_mean", "nearest", "parameters"]
