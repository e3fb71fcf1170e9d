"""Pairs of candidates: a run whose fold K is the ensemble of both candidates' models of fold K."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ivadomed.commands.folds import fold_folder, saved_splits
from ivadomed.config import RunConfig, load_config
from ivadomed.inference.ensemble import join_models
from ivadomed.loader.folds import write_folds


def pair_name(names: Sequence[str]) -> str:
    """Name of the pair and of the folder of its run."""
    return "+".join(names)


def pair_config(first: RunConfig, folder: Path) -> RunConfig:
    """Configuration of a pair: that of the first candidate, except for the networks.

    Args:
        first: The better candidate.
        folder: Folder of the pair's run.
    """
    return load_config(first.to_json(), {"path_output": str(folder.resolve())})


def have_one_split(configs: Sequence[RunConfig]) -> bool:
    """True if the candidates have the same folds, so that none was trained on validation data of another."""
    splits = [saved_splits(Path(config.path_output)) for config in configs]
    return all(split == splits[0] for split in splits)


def join_folds(pair: RunConfig, configs: Sequence[RunConfig], folds: Sequence[int]) -> list[str]:
    """Combine the models of several candidates, for each of these folds.

    Args:
        pair: Configuration of the pair.
        configs: Configurations of the candidates, the better one first.
        folds: Numbers of folds trained by both.

    Returns:
        Packaged models of the pair.

    Raises:
        ConfigError: The models differ in classes or channels.
        ModelError: A model is not trained.
    """
    folder = Path(pair.path_output)
    write_folds(folder, saved_splits(Path(configs[0].path_output)))
    joined = []
    for fold in folds:
        members = [
            fold_folder(Path(config.path_output), fold) / config.model_folder.name for config in configs
        ]
        joined.append(
            str(join_models(members, fold_folder(folder, fold) / pair.model_folder.name, overwrite=True))
        )
    return joined
