"""Names of the keys in configurations, metadata and tables, for programs that spell them as constants.

A member is its text: ``config[ConfigKW.LOADER_PARAMETERS]`` is ``config["loader_parameters"]``.
"""

from __future__ import annotations

from enum import Enum
from typing import Any


class Keywords(str, Enum):
    """Base of the groups of keys."""

    def __str__(self) -> str:
        return str.__str__(self.value)


def _keywords(group: str, texts: str) -> Any:
    """A group of keys: a member is named by its text in capitals, or as ``NAME=text`` says."""
    pairs = (text.rpartition("=") for text in texts.split())
    members = [(name or text.upper(), text) for name, _, text in pairs]
    make: Any = Keywords
    return make(group, members, module=__name__)


#: Top level of a configuration.
ConfigKW = _keywords(
    "ConfigKW",
    "command gpu_ids path_output model_name debugging log_file wandb object_detection_params "
    "loader_parameters split_dataset training_parameters default_model FILMED_UNET=FiLMedUnet "
    "HEMIS_UNET=HeMISUnet MODIFIED_3D_UNET=Modified3DUNet uncertainty postprocessing "
    "evaluation_parameters transformation",
)
#: ``loader_parameters``; the last ones stand in a loader's parameters only, see ``main.set_loader_params``.
LoaderParamsKW = _keywords(
    "LoaderParamsKW",
    "path_data bids_config bids_validate subject_selection target_suffix target_sessions extensions "
    "roi_params contrast_params slice_filter_params patch_filter_params slice_axis multichannel "
    "soft_gt is_input_dropout model_params metadata_type object_detection_params",
)
#: ``split_dataset``.
SplitDatasetKW = _keywords(
    "SplitDatasetKW", "fname_split random_seed split_method data_testing balance train_fraction test_fraction"
)
#: ``split_dataset.data_testing``.
DataTestingKW = _keywords("DataTestingKW", "data_type data_value")
#: ``training_parameters``.
TrainingParamsKW = _keywords(
    "TrainingParamsKW",
    "batch_size loss training_time scheduler balance_samples mixup_alpha transfer_learning",
)
#: ``training_parameters.balance_samples``.
BalanceSamplesKW = _keywords("BalanceSamplesKW", "applied type")
#: ``loader_parameters.contrast_params``; ``contrast_lst`` stands in a loader's parameters only.
ContrastParamsKW = _keywords("ContrastParamsKW", "training_validation testing balance contrast_lst")
#: ``loader_parameters.roi_params``.
ROIParamsKW = _keywords("ROIParamsKW", "suffix slice_filter_roi")
#: ``loader_parameters.slice_filter_params``.
SliceFilterParamsKW = _keywords(
    "SliceFilterParamsKW",
    "filter_empty_input filter_empty_mask filter_absent_class filter_classification classifier_path",
)
#: ``loader_parameters.patch_filter_params``.
PatchFilterParamsKW = _keywords(
    "PatchFilterParamsKW", "filter_empty_input filter_empty_mask filter_absent_class"
)
#: ``object_detection_params``; the last two stand in a loader's parameters only.
ObjectDetectionParamsKW = _keywords(
    "ObjectDetectionParamsKW", "object_detection_path safety_factor gpu_ids path_output"
)
#: Sections of networks, and ``model_params`` of the data sets, of training and of testing.
ModelParamsKW = _keywords(
    "ModelParamsKW",
    "name applied is_2d depth dropout_rate bn_momentum final_activation n_filters attention length_2D "
    "stride_2D length_3D stride_3D metadata film_layers film_onehotencoder n_metadata folder_name "
    "in_channel out_channel missing_probability missing_probability_growth",
)
#: ``uncertainty``.
UncertaintyKW = _keywords("UncertaintyKW", "epistemic aleatoric n_it")
#: ``postprocessing``.
PostprocessingKW = _keywords(
    "PostprocessingKW",
    "remove_noise keep_largest binarize_prediction binarize_maxpooling uncertainty fill_holes remove_small",
)
#: ``postprocessing.binarize_prediction``; the class is spelt as it was in 2.x.
BinarizeProdictionKW = _keywords("BinarizeProdictionKW", "thr")
#: ``evaluation_parameters``.
EvaluationParamsKW = _keywords(
    "EvaluationParamsKW", "target_size overlap remove_small object_detection_metrics"
)
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
