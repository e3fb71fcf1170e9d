"""Data sets and packaged models that can be downloaded by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Item:
    """Something to download.

    Args:
        description: For the help.
        repository: Owner and name on GitHub.
        release: Tag of the version that ivadomed was published with; "" for the present version only.
        otherwise: Another repository, in case the first one is not there.
    """

    description: str
    repository: str
    release: str = ""
    otherwise: str = ""

    @property
    def urls(self) -> tuple[str, ...]:
        """The release, and the present version in case the release is gone."""
        places = [f"{self.repository}/archive/refs/tags/{self.release}"] if self.release else []
        places += [f"{name}/archive/HEAD" for name in (self.repository, self.otherwise) if name]
        return tuple(f"https://github.com/{place}.zip" for place in places)


ITEMS: Mapping[str, Item] = {
    "data_example_spinegeneric": Item(
        "spinal cord MRI of the tutorial, with labels (490 MB)",
        "ivadomed/data_example_spinegeneric",
        "r20200907",
    ),
    "data_axondeepseg_sem": Item(
        "electron micrographs of nerves, with axon and myelin labels",
        "axondeepseg/data_axondeepseg_sem",
        "r20211130",
    ),
    "data_testing": Item("small images for unit tests", "ivadomed/data-testing"),
    "data_multi_testing": Item(
        "small images in several data sets, for unit tests",
        "ivadomed/data_multi_testing",
        otherwise="ivadomed/data-multi-testing",
    ),
    "data_functional_testing": Item(
        "small images for tests of the command line", "ivadomed/data_functional_testing"
    ),
    "t2_tumor": Item("model: tumour, oedema and cavity in T2w MRI", "ivadomed/t2_tumor", "r20200621"),
    "findcord_tumor": Item(
        "model: finds the cord of patients with a tumour in T2w MRI", "ivadomed/findcord_tumor", "r20200621"
    ),
    "t2star_sc": Item("model: spinal cord in T2*w MRI", "ivadomed/t2star_sc", "r20200622"),
    "mice_uqueensland_sc": Item("model: spinal cord of mice", "ivadomed/mice_uqueensland_sc", "r20200622"),
    "mice_uqueensland_gm": Item("model: grey matter of mice", "ivadomed/mice_uqueensland_gm", "r20200622"),
    "model_find_disc_t1": Item(
        "model: intervertebral discs in T1w MRI", "ivadomed/model_find_disc_t1", "r20201013"
    ),
    "model_find_disc_t2": Item(
        "model: intervertebral discs in T2w MRI", "ivadomed/model_find_disc_t2", "r20200928"
    ),
}

DICT_URL: Mapping[str, Mapping[str, Any]] = {
    name: {"url": list(item.urls), "description": item.description} for name, item in ITEMS.items()
}
"""The same as in 2.9.10: of each name its servers ("url") and what it is ("description")."""
