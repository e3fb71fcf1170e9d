"""End of the output of ``--init``: the labels found and their use, and warnings."""

from __future__ import annotations

from ivadomed.suggest.labels import table_of_labels
from ivadomed.suggest.survey import Survey

FEW_SUBJECTS = 5
"""Number of subjects below which validation and test are not meaningful."""


def summary(data: Survey) -> list[str]:
    """Lines about the labels, and warnings before training."""
    targets = data.targets
    use = {suffix: f"class {number}" for number, suffix in enumerate(targets.suffixes, start=1)}
    for suffix, reason in targets.left_out.items():
        use[suffix] = f"left out: {reason or 'not requested'}"
    missing = [kind for kind in targets.kinds if kind.images < data.images and not data.channels]
    lines = [
        f"Labels of {data.images} images ({data.looked_at} of them read; --target-suffix selects others):"
    ]
    lines += [f"  {line}" for line in table_of_labels(targets.seen, use)]
    for kind in missing:
        lines.append(
            f"Of {data.images - kind.images} images {kind.suffix} is missing; there it counts as empty."
        )
    if data.subjects < FEW_SUBJECTS:
        lines.append(
            f"Warning: {data.subjects} subjects are few: validation and test have one each, so metrics mean little. "
            f"Use at least {FEW_SUBJECTS} subjects."
        )
    return lines
