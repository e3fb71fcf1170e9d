"""Import path of ivadomed 2; implemented in `ivadomed.training.mixup`."""

from ivadomed.training.mixup import mixup as mixup
from ivadomed.training.mixup import save_mixup_sample as save_mixup_sample
