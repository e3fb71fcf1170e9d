"""Training: the loop, its schedule, checkpoints and what the user sees of it."""

from ivadomed.loader.balanced_sampler import get_sampler
from ivadomed.losses import build_loss as get_loss_function
from ivadomed.runtime.moved import moved_names
from ivadomed.training.checkpoint import read_checkpoint, save_checkpoint
from ivadomed.training.loop import TrainingResult
from ivadomed.training.schedule import EarlyStopping, get_scheduler

__all__ = [
    "EarlyStopping",
    "TrainingResult",
    "get_loss_function",
    "get_sampler",
    "get_scheduler",
    "read_checkpoint",
    "save_checkpoint",
]

MOVED = {
    "save_film_params": "ivadomed.loader.film.save_film_params",
    "store_film_params": "ivadomed.loader.film.store_film_params",
}
KEPT = {"ivadomed.compat.training": "get_metadata load_checkpoint train"}

__getattr__ = moved_names(__name__, MOVED, KEPT)
