"""Download of data sets and models: known names, file transfer, and unpacking of archives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Name, tag of the release published with ivadomed, description.
_ITEMS = (
    ("data_example_spinegeneric", "r20200907", "spinal cord MRI of the tutorial, with labels (490 MB)"),
    ("data_axondeepseg_sem", "r20211130", "electron micrographs of nerves, with axon and myelin labels"),
    ("data_testing", "", "small images for unit tests"),
    ("data_multi_testing", "", "small images in several data sets, for unit tests"),
    ("data_functional_testing", "", "small images for tests of the command line"),
    ("t2_tumor", "r20200621", "model: tumor, edema and cavity in T2w MRI"),
    ("findcord_tumor", "r20200621", "model: finds the cord of patients with a tumor in T2w MRI"),
    ("t2star_sc", "r20200622", "model: spinal cord in T2*w MRI"),
    ("mice_uqueensland_sc", "r20200622", "model: spinal cord of mice"),
    ("mice_uqueensland_gm", "r20200622", "model: gray matter of mice"),
    ("model_find_disc_t1", "r20201013", "model: intervertebral discs in T1w MRI"),
    ("model_find_disc_t2", "r20200928", "model: intervertebral discs in T2w MRI"),
)
_REPOSITORIES = {
    "data_axondeepseg_sem": ("axondeepseg/data_axondeepseg_sem",),
    "data_testing": ("ivadomed/data-testing",),
    "data_multi_testing": ("ivadomed/data_multi_testing", "ivadomed/data-multi-testing"),
}


def _urls(name: str, release: str) -> list[str]:
    """URLs of the release on GitHub, and of the current version in case the release is gone."""
    repositories = _REPOSITORIES.get(name, (f"ivadomed/{name}",))
    places = [f"{repositories[0]}/archive/refs/tags/{release}"] if release else []
    places += [f"{repository}/archive/HEAD" for repository in repositories]
    return [f"https://github.com/{place}.zip" for place in places]


DICT_URL: Mapping[str, Mapping[str, Any]] = {
    name: {"url": _urls(name, release), "description": description} for name, release, description in _ITEMS
}
"""As in 2.9.10: servers ("url") and description ("description") of each name."""
