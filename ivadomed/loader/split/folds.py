"""Cross-validation: validation parts of similar size, categories and classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import TYPE_CHECKING

import numpy as np

from ivadomed.loader.split.draw import (
    Split,
    categories_of,
    check_leak,
    deal,
    files_of,
    groups_to_part,
    set_test_apart,
)

if TYPE_CHECKING:
    import pandas as pd

    from ivadomed.config.schema.loader import SplitDataset

ClassesOf = Callable[[list[str]], dict[str, Set[int]]]
"""Maps file names to the classes with a labelled voxel in each file."""


def cross_validation(df: pd.DataFrame, split: SplitDataset, classes_of: ClassesOf) -> list[Split]:
    """One split per fold: all test the same files, as without folds, and each validates on its own part.

    The remaining files are divided into parts, grouped by ``split_method``. With ``balance``, each category is
    spread over the parts; otherwise, each class.

    Args:
        df: Table of ``BidsDataframe``, with the subjects to use.
        split: Columns, shares, seed and number of folds.
        classes_of: Called only without ``balance``.

    Raises:
        DataError: A column or value is missing, there are fewer groups than folds, or a subject is on two sides.
    """
    n_folds = split.n_folds or 0
    rows, test = set_test_apart(df, split)
    groups = groups_to_part(rows, split, n_folds)
    keys = groups[split.split_method]
    if split.balance:
        dealt = deal(categories_of(groups, split), n_folds, split.random_seed)
    else:
        found = classes_of(files_of(rows))
        of_files = rows.groupby(split.split_method)["filename"]
        classes = {key: set().union(*(found.get(name, set()) for name in names)) for key, names in of_files}
        dealt = spread([classes[key] for key in keys], n_folds, split.random_seed)
    parts = rows[split.split_method].map(dict(zip(keys, dealt, strict=True)))
    splits = [(files_of(rows[parts != k]), files_of(rows[parts == k]), test) for k in range(n_folds)]
    for one in splits:
        check_leak(df, one)
    return splits


def spread(classes: Sequence[Set[int]], n_parts: int, seed: int) -> np.ndarray:
    """Part of each member, with each class spread over as many parts as possible.

    Iterative stratification (Sechidis et al., On the stratification of multi-label data, 2011): the rarest
    class is dealt out first, each of its members to the part with the fewest of it, then with the fewest of the
    member's other classes. Sizes of the parts differ by at most one.

    Args:
        classes: Classes of each member.
        n_parts: Number of parts.
        seed: Seed of the order.
    """
    order = np.random.default_rng(seed).permutation(len(classes)).tolist()
    has = np.zeros((len(classes), 1 + max((k for own in classes for k in own), default=0)), bool)
    for member, own in enumerate(classes):
        has[member, list(own)] = True
    share = has / np.maximum(has.sum(axis=0), 1)  # rare classes weigh more
    smallest, larger = divmod(len(classes), n_parts)
    sizes, held = np.zeros(n_parts, int), np.zeros((n_parts, has.shape[1]))
    parts = np.full(len(classes), -1)
    while order:
        left = has[order].sum(axis=0)
        rarest = int(np.argmin(np.where(left > 0, left, len(classes) + 1)))
        members = [member for member in order if has[member, rarest]] or order
        for member in members:
            full = smallest + (np.count_nonzero(sizes > smallest) < larger)
            cost = zip(held[:, rarest] * has[member, rarest], held @ has[member], sizes, strict=True)
            open_parts = [(*map(float, terms), k) for k, terms in enumerate(cost) if sizes[k] < full]
            parts[member] = min(open_parts)[-1]
            sizes[parts[member]] += 1
            held[parts[member]] += share[member]
        order = [member for member in order if parts[member] < 0]
    return parts
