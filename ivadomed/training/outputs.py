"""The files of a training in the folder of its run, and the packaged model."""

from __future__ import annotations

import contextlib
import logging
import shutil
from glob import escape as glob_escape
from pathlib import Path

from ivadomed.config import RunConfig
from ivadomed.config.run_files import BEST, CHECKPOINT, FINAL
from ivadomed.errors import OutputError
from ivadomed.images.files import atomic_path, write_json
from ivadomed.loader.conditions import FilmEncoder
from ivadomed.loader.recipe import TRAINED
from ivadomed.models.checkpoint import load_model
from ivadomed.models.onnx import write_onnx
from ivadomed.training.checkpoint import is_old_checkpoint, is_old_model
from ivadomed.training.gifs import remove_frames
from ivadomed.training.rehearsal import REHEARSAL

log = logging.getLogger(__name__)

_EVENTS = "events.out.tfevents.*"


def refuse_to_overwrite(folder: Path, model_folder: Path) -> None:
    """Raise if an earlier training would be lost.

    Args:
        folder: Output folder of the run.
        model_folder: Folder of its packaged model.

    Raises:
        OutputError: The folder holds a trained model or a checkpoint.
    """
    packaged = (model_folder / f"{model_folder.name}{end}.pt" for end in ("", "_0"))  # a model, an ensemble
    files = (folder / CHECKPOINT, folder / BEST, folder / FINAL, *packaged)
    if found := next((file for file in files if file.exists()), None):
        fresh = not (folder / CHECKPOINT).is_file() or is_old_checkpoint(folder / CHECKPOINT)
        resume = "" if fresh else "--resume-training to continue it, "
        in_python = "" if fresh else "run_main(config, resume_training=True) or "
        raise OutputError(
            f"{folder}: already holds a trained model ({found.relative_to(folder)}); add {resume}--overwrite to "
            f"replace it, or choose another --path-output (in Python: {in_python}run_main(config, overwrite=True))"
        )


def can_go_on(folder: Path) -> bool:
    """True if a training in an automatically managed folder can be resumed.

    One that was killed in its first epoch cannot; its best model, if any, is removed, so it starts again.

    Args:
        folder: Folder of a run that is continued without asking: a fold, a candidate, a member of a sweep.
    """
    if (folder / CHECKPOINT).is_file():
        return True
    if not (folder / FINAL).is_file():
        (folder / BEST).unlink(missing_ok=True)
    return False


def trained_by_2(folder: Path) -> bool:
    """True if the model in the folder of a run was trained by ivadomed 1 or 2."""
    return is_old_model(folder / BEST)


def remove_training(folder: Path, model_folder: Path) -> None:
    """Delete the outputs of an earlier training (models, checkpoint, TensorBoard events) and nothing else.

    Args:
        folder: Output folder of the run.
        model_folder: Folder of its packaged model.
    """
    for name in (CHECKPOINT, BEST, FINAL, REHEARSAL):
        (folder / name).unlink(missing_ok=True)
    for pattern in (_EVENTS, f"*/{_EVENTS}"):
        for events in folder.glob(pattern):
            events.unlink()
            if events.parent != folder:
                with contextlib.suppress(OSError):  # not empty
                    events.parent.rmdir()
    remove_frames(folder)
    name = model_folder.name
    for suffix in (".pt", ".onnx", ".json"):
        (model_folder / f"{name}{suffix}").unlink(missing_ok=True)
        for member in model_folder.glob(f"{glob_escape(name)}_[0-9]*{suffix}"):  # of an ensemble
            member.unlink()


def package_model(config: RunConfig, weights: Path, folder: Path) -> None:
    """Write ``NAME/NAME.pt``, ``NAME/NAME.onnx`` and ``NAME/NAME.json``; for a FiLM network, also its encoder.

    Args:
        config: Configuration of the run.
        weights: Model file to package, such as ``best_model.pt``; the encoder is next to it.
        folder: ``NAME``; its files are replaced.

    An ONNX model that does not agree with the PyTorch model is left out, with a warning.
    """
    model = load_model(weights, "cpu")
    name = folder.name
    with atomic_path(folder / f"{name}.pt") as temporary:
        shutil.copyfile(weights, temporary)
    if config.metadata_type is not None:
        FilmEncoder.load(weights.parent).save(folder)
    packaged = config.to_json(hide_secrets=True)
    # Written explicitly, because a packaged model without it is taken for one of ivadomed 2.
    packaged["blend"] = config.blend or TRAINED.blend
    packaged["object_detection_params"]["anchor"] = config.object_detection_params.anchor or TRAINED.anchor
    write_json(folder / f"{name}.json", packaged)
    write_onnx(folder, model, config.in_channel, config.is_2d)
    log.info("Packaged model: %s", folder)
    if own := config.architecture_name.rpartition(":")[0]:
        log.warning(
            "%s.pt: opens only where %s, which defines its network, can be imported; %s.onnx needs no custom code",
            name,
            own,
            name,
        )
