"""Import path of ivadomed 3.0; implemented in `ivadomed.images`."""

from ivadomed.images.io import (
    Image,
    ImageLike,
    as_image,
    is_file,
    is_nifti,
    is_picture,
    make_nifti,
    read_classes,
    read_grid,
    read_image,
    save_nifti,
    split_extension,
    without_extension,
    write_nifti,
    write_picture,
)
from ivadomed.images.labels import read_label

__all__ = [
    "Image",
    "ImageLike",
    "as_image",
    "is_file",
    "is_nifti",
    "is_picture",
    "make_nifti",
    "read_classes",
    "read_grid",
    "read_image",
    "read_label",
    "save_nifti",
    "split_extension",
    "without_extension",
    "write_nifti",
    "write_picture",
]
