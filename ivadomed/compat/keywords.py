"""Keys of configurations, metadata and tables, for programs that use them as constants.

A member is its text: ``config[ConfigKW.LOADER_PARAMETERS]`` is ``config["loader_parameters"]``.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from ivadomed.config.schema import loader, predictions, training
from ivadomed.config.schema.run import RunConfig
from ivadomed.registry.section import Section


class Keywords(str, Enum):
    """Base of the groups of keys."""

    def __str__(self) -> str:
        return str.__str__(self.value)


def _keywords(group: str, texts: str) -> Any:
    """A group of keys: members are named by their text in capitals, or by ``NAME=text``."""
    pairs = (text.rpartition("=") for text in texts.split())
    members = [(name or _NAMES.get(text, text.upper()), text) for name, _, text in pairs]
    make: Any = Keywords
    return make(group, members, module=__name__)


def _of_section(group: str, section: type[Section], others: str = "") -> Any:
    """The keys of a section, and others used with them in programs of 2.x."""
    return _keywords(group, " ".join((*section.model_fields, others)))


_NAMES = {"FiLMedUnet": "FILMED_UNET", "HeMISUnet": "HEMIS_UNET", "Modified3DUNet": "MODIFIED_3D_UNET"}

#: Top level of a configuration.
ConfigKW = _of_section("ConfigKW", RunConfig)
#: ``loader_parameters``; the last ones stand in a loader's parameters only, see ``main.set_loader_params``.
LoaderParamsKW = _of_section(
    "LoaderParamsKW", loader.LoaderParameters, "model_params metadata_type object_detection_params"
)
#: ``split_dataset``.
SplitDatasetKW = _of_section("SplitDatasetKW", loader.SplitDataset)
#: ``split_dataset.data_testing``.
DataTestingKW = _of_section("DataTestingKW", loader.DataTesting)
#: ``training_parameters``.
TrainingParamsKW = _of_section("TrainingParamsKW", training.TrainingParameters)
#: ``training_parameters.balance_samples``.
BalanceSamplesKW = _of_section("BalanceSamplesKW", training.BalanceSamples)
#: ``loader_parameters.contrast_params``; ``contrast_lst`` stands in a loader's parameters only.
ContrastParamsKW = _of_section("ContrastParamsKW", loader.ContrastParams, "contrast_lst")
#: ``loader_parameters.roi_params``.
ROIParamsKW = _of_section("ROIParamsKW", loader.RoiParams)
#: ``loader_parameters.slice_filter_params``.
SliceFilterParamsKW = _of_section("SliceFilterParamsKW", loader.SliceFilterParams)
#: ``loader_parameters.patch_filter_params``.
PatchFilterParamsKW = _of_section("PatchFilterParamsKW", loader.PatchFilterParams)
#: ``object_detection_params``; the last two stand in a loader's parameters only.
ObjectDetectionParamsKW = _of_section(
    "ObjectDetectionParamsKW", loader.ObjectDetection, "gpu_ids path_output"
)
#: Sections of networks, and ``model_params`` of the data sets, of training and of testing.
ModelParamsKW = _keywords(
    "ModelParamsKW",
    "name applied is_2d depth dropout_rate bn_momentum final_activation n_filters attention length_2D "
    "stride_2D length_3D stride_3D metadata film_layers film_onehotencoder n_metadata folder_name "
    "in_channel out_channel missing_probability missing_probability_growth",
)
#: ``uncertainty``.
UncertaintyKW = _of_section("UncertaintyKW", predictions.Uncertainty)
#: ``postprocessing``.
PostprocessingKW = _keywords(
    "PostprocessingKW",
    "remove_noise keep_largest binarize_prediction binarize_maxpooling uncertainty fill_holes remove_small",
)
#: ``postprocessing.binarize_prediction``; the class is spelt as it was in 2.x.
BinarizeProdictionKW = _keywords("BinarizeProdictionKW", "thr")
#: ``evaluation_parameters``.
EvaluationParamsKW = _of_section("EvaluationParamsKW", predictions.EvaluationParameters)
#: ``transformation``.
TransformationKW = _keywords("TransformationKW", "Resample CenterCrop ROICrop")
#: Options of ``inference.segment_volume``.
OptionKW = _keywords(
    "OptionKW",
    "fname_prior metadata pixel_size pixel_size_units overlap_2D no_patch binarize_prediction "
    "binarize_maxpooling keep_largest fill_holes remove_small",
)
#: Columns of the table of a data set.
BidsDataFrameKW = _keywords("BidsDataFrameKW", "path filename")
#: Columns of the rows of a subject.
SubjectDataFrameKW = _keywords("SubjectDataFrameKW", "filename path")
#: Files of a subject with several channels, see ``BidsDataset.create_filename_pair``.
SubjectDictKW = _keywords("SubjectDictKW", "absolute_paths deriv_path roi_filename metadata")
#: A pair of image and label, and an item of a data set.
SegmentationPairKW = _keywords("SegmentationPairKW", "input gt roi input_metadata gt_metadata roi_metadata")
#: Metadata of an image in a pair or item.
MetadataKW = _keywords(
    "MetadataKW",
    "contrast bounding_box data_type data_shape zooms slice_index coord index_shape input_filenames "
    "gt_filenames metadata_dict bids_metadata film_input missing_mod crop_params "
    "PRE_RESAMPLE_SHAPE=preresample_shape rotation scale translation elastic reverse offset",
)
