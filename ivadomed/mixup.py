"""Import path of ivadomed 2; `ivadomed.training.mixup` does the work."""

from ivadomed.training.mixup import mixup as mixup
from ivadomed.training.mixup import save_mixup_sample as save_mixup_sample
