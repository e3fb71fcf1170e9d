"""Which patches stay."""

import numpy as np
import pytest

from ivadomed.loader.patch_filter import PatchFilter

FULL = np.arange(27.0).reshape(3, 3, 3)
FLAT = np.zeros((3, 3, 3))
MASK = (FULL == 5).astype(np.uint8)
NONE = np.zeros((3, 3, 3), np.uint8)


@pytest.mark.parametrize(
    ("option", "image", "labels"),
    [
        ("filter_empty_mask", FULL, [NONE, NONE]),
        ("filter_absent_class", FULL, [NONE, MASK]),
        ("filter_empty_input", FLAT, [MASK, MASK]),
    ],
)
def test_each_option_discards_its_patch_in_training_only(option, image, labels):
    sample = {"input": [FULL, image], "gt": labels}
    assert not PatchFilter(**{option: True}, is_train=True)(sample)
    assert PatchFilter(**{option: True}, is_train=False)(sample)
    assert PatchFilter(is_train=True)(sample)
    assert PatchFilter(**{option: True}, is_train=True)({"input": [FULL], "gt": [MASK, [MASK, MASK]]})


def test_active_says_whether_patches_have_to_be_looked_at():
    assert not PatchFilter(is_train=True).active
    assert not PatchFilter(filter_empty_mask=True).active
    assert PatchFilter(filter_empty_mask=True, is_train=True).active
