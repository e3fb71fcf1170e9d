"""Table of the samples in an HDF5 file: which contrasts, labels and slices there are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ivadomed.errors import DataError
from ivadomed.images.files import write_csv


class Dataframe:
    """One row per sample: a slice (2D) or a subject (3D).

    Columns: ``Subjects``; per contrast the place of the image in the file ("sub-01/inputs/T1w"), empty where
    it is missing; per contrast ``gt/<contrast>`` and ``roi/<contrast>``; in 2D ``Slices``, the index of the
    slice.

    Args:
        hdf5: The open file.
        contrasts: Contrasts of interest.
        path: CSV file to load the table from if it exists; None to make it from ``hdf5``.
        target_suffix: Labels are wanted.
        roi_suffix: Regions of interest are wanted.
        filter_slices: Only slices that the filter kept when the file was made.
        dim: 2 or 3.

    Attributes:
        df: The table.
    """

    def __init__(
        self,
        hdf5: Any,
        contrasts: Sequence[str],
        path: str | os.PathLike[str] | None,
        target_suffix: Sequence[Any] | None = None,
        roi_suffix: str | None = None,
        filter_slices: Any = False,
        dim: int = 2,
    ) -> None:
        self.contrasts = list(contrasts)
        self.filter_slices = filter_slices
        self.dim = dim
        self.kinds = ["gt"] * bool(target_suffix) + ["roi"] * bool(roi_suffix)
        self.df = pd.DataFrame()
        if path is not None and Path(path).is_file():
            self.load_dataframe(path)
        else:
            self.create_df(hdf5)

    def create_df(self, hdf5: Any) -> None:
        """Make the table from an open file.

        Raises:
            DataError: The file holds none of the contrasts.
        """
        name = getattr(hdf5, "filename", "HDF5 file")
        rows: list[dict[str, Any]] = []
        try:
            for subject in hdf5.attrs["patients_id"]:
                rows += self._rows(hdf5, subject)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{name}: has not the layout of ivadomed's files ({error}); remove it and it is made anew"
            ) from error
        if not rows:
            raise DataError(f"{name}: holds no sample of {', '.join(self.contrasts)}")
        self._set(pd.DataFrame(rows))

    def _rows(self, hdf5: Any, subject: str) -> list[dict[str, Any]]:
        """One per sample of a subject; none without a wanted contrast."""
        group = hdf5[subject]
        row: dict[str, Any] = {"Subjects": subject}
        for column, key in self._places().items():
            row[column] = f"{subject}/{key}" if key in group else None
        if not any(row[contrast] for contrast in self.contrasts):
            return []
        return [row] if self.dim == 3 else [{**row, "Slices": z} for z in self._slices(group, row)]

    def clean(self, contrasts: Sequence[str]) -> None:
        """Remove rows where one of the contrasts is not available."""
        self.df = self.df.dropna(subset=list(contrasts)).reset_index(drop=True)

    def shuffle(self, seed: int | None = None) -> None:
        """Shuffle the rows."""
        self.df = self.df.sample(frac=1, random_state=seed).reset_index(drop=True)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table as CSV."""
        write_csv(path, self.df, index=False)

    def load_dataframe(self, path: str | os.PathLike[str]) -> None:
        """Read the table from CSV.

        Raises:
            DataError: The file is no table, or lacks a column.
        """
        try:
            df = pd.read_csv(path, dtype=dict.fromkeys(("Subjects", *self._places()), object))
        except (OSError, ValueError) as error:
            raise DataError(f"{os.fspath(path)}: cannot be read as a CSV table ({error})") from error
        wanted = ["Subjects", *self._places(), *(["Slices"] if self.dim == 2 else [])]
        missing = [name for name in wanted if name not in df]
        if missing:
            raise DataError(
                f"{os.fspath(path)}: has no column {', '.join(missing)}; remove the file and it is made anew"
            )
        for column, place in self._places().items():
            there = df[column].notna()
            if (df.loc[there, column] != df.loc[there, "Subjects"] + f"/{place}").any():
                raise DataError(
                    f"{os.fspath(path)}: the column {column} names places that are not <subject>/{place}; remove the "
                    "file and it is made anew"
                )
        self._set(df)

    def _set(self, df: pd.DataFrame) -> None:
        """Take over a table; None where something is missing."""
        self.df = df.astype(object).where(df.notna(), None)
        if self.dim == 2:
            self.df["Slices"] = self.df["Slices"].astype(int)

    def _places(self) -> dict[str, str]:
        """Column -> place in the group of a subject."""
        places = {contrast: f"inputs/{contrast}" for contrast in self.contrasts}
        return places | {f"{k}/{c}": f"{k}/{c}" for k in self.kinds for c in self.contrasts}

    def _slices(self, group: Any, row: dict[str, Any]) -> list[int]:
        if self.filter_slices:
            return np.asarray(group.attrs["slices"], int).tolist()
        there = next(contrast for contrast in self.contrasts if row[contrast])
        return list(range(group[f"inputs/{there}"].shape[0]))
