"""Names of the keys in configurations, metadata and tables, for programs that spell them as constants.

A member is its text: ``config[ConfigKW.LOADER_PARAMETERS]`` is ``config["loader_parameters"]``.
"""

from __future__ import annotations

from enum import Enum


class Keywords(str, Enum):
    """Base of the groups of keys."""

    def __str__(self) -> str:
        return str.__str__(self.value)


class ConfigKW(Keywords):
    """Top level of a configuration."""

    COMMAND = "command"
    GPU_IDS = "gpu_ids"
    PATH_OUTPUT = "path_output"
    MODEL_NAME = "model_name"
    DEBUGGING = "debugging"
    LOG_FILE = "log_file"
    WANDB = "wandb"
    OBJECT_DETECTION_PARAMS = "object_detection_params"
    LOADER_PARAMETERS = "loader_parameters"
    SPLIT_DATASET = "split_dataset"
    TRAINING_PARAMETERS = "training_parameters"
    DEFAULT_MODEL = "default_model"
    FILMED_UNET = "FiLMedUnet"
    HEMIS_UNET = "HeMISUnet"
    MODIFIED_3D_UNET = "Modified3DUNet"
    UNCERTAINTY = "uncertainty"
    POSTPROCESSING = "postprocessing"
    EVALUATION_PARAMETERS = "evaluation_parameters"
    TRANSFORMATION = "transformation"


class LoaderParamsKW(Keywords):
    """``loader_parameters``; the last ones stand in a loader's parameters only, see ``main.set_loader_params``."""

    PATH_DATA = "path_data"
    BIDS_CONFIG = "bids_config"
    BIDS_VALIDATE = "bids_validate"
    SUBJECT_SELECTION = "subject_selection"
    TARGET_SUFFIX = "target_suffix"
    TARGET_SESSIONS = "target_sessions"
    EXTENSIONS = "extensions"
    ROI_PARAMS = "roi_params"
    CONTRAST_PARAMS = "contrast_params"
    SLICE_FILTER_PARAMS = "slice_filter_params"
    PATCH_FILTER_PARAMS = "patch_filter_params"
    SLICE_AXIS = "slice_axis"
    MULTICHANNEL = "multichannel"
    SOFT_GT = "soft_gt"
    IS_INPUT_DROPOUT = "is_input_dropout"
    MODEL_PARAMS = "model_params"
    METADATA_TYPE = "metadata_type"
    OBJECT_DETECTION_PARAMS = "object_detection_params"


class SplitDatasetKW(Keywords):
    """``split_dataset``."""

    FNAME_SPLIT = "fname_split"
    RANDOM_SEED = "random_seed"
    SPLIT_METHOD = "split_method"
    DATA_TESTING = "data_testing"
    BALANCE = "balance"
    TRAIN_FRACTION = "train_fraction"
    TEST_FRACTION = "test_fraction"


class DataTestingKW(Keywords):
    """``split_dataset.data_testing``."""

    DATA_TYPE = "data_type"
    DATA_VALUE = "data_value"


class TrainingParamsKW(Keywords):
    """``training_parameters``."""

    BATCH_SIZE = "batch_size"
    LOSS = "loss"
    TRAINING_TIME = "training_time"
    SCHEDULER = "scheduler"
    BALANCE_SAMPLES = "balance_samples"
    MIXUP_ALPHA = "mixup_alpha"
    TRANSFER_LEARNING = "transfer_learning"


class BalanceSamplesKW(Keywords):
    """``training_parameters.balance_samples``."""

    APPLIED = "applied"
    TYPE = "type"


class ContrastParamsKW(Keywords):
    """``loader_parameters.contrast_params``; ``contrast_lst`` stands in a loader's parameters only."""

    TRAINING_VALIDATION = "training_validation"
    TESTING = "testing"
    BALANCE = "balance"
    CONTRAST_LST = "contrast_lst"


class ROIParamsKW(Keywords):
    """``loader_parameters.roi_params``."""

    SUFFIX = "suffix"
    SLICE_FILTER_ROI = "slice_filter_roi"


class SliceFilterParamsKW(Keywords):
    """``loader_parameters.slice_filter_params``."""

    FILTER_EMPTY_INPUT = "filter_empty_input"
    FILTER_EMPTY_MASK = "filter_empty_mask"
    FILTER_ABSENT_CLASS = "filter_absent_class"
    FILTER_CLASSIFICATION = "filter_classification"
    CLASSIFIER_PATH = "classifier_path"


class PatchFilterParamsKW(Keywords):
    """``loader_parameters.patch_filter_params``."""

    FILTER_EMPTY_INPUT = "filter_empty_input"
    FILTER_EMPTY_MASK = "filter_empty_mask"
    FILTER_ABSENT_CLASS = "filter_absent_class"


class ObjectDetectionParamsKW(Keywords):
    """``object_detection_params``; the last two stand in a loader's parameters only."""

    OBJECT_DETECTION_PATH = "object_detection_path"
    SAFETY_FACTOR = "safety_factor"
    GPU_IDS = "gpu_ids"
    PATH_OUTPUT = "path_output"


class ModelParamsKW(Keywords):
    """Sections of networks, and ``model_params`` of the data sets, of training and of testing."""

    NAME = "name"
    APPLIED = "applied"
    IS_2D = "is_2d"
    DEPTH = "depth"
    DROPOUT_RATE = "dropout_rate"
    BN_MOMENTUM = "bn_momentum"
    FINAL_ACTIVATION = "final_activation"
    N_FILTERS = "n_filters"
    ATTENTION = "attention"
    LENGTH_2D = "length_2D"
    STRIDE_2D = "stride_2D"
    LENGTH_3D = "length_3D"
    STRIDE_3D = "stride_3D"
    METADATA = "metadata"
    FILM_LAYERS = "film_layers"
    FILM_ONEHOTENCODER = "film_onehotencoder"
    N_METADATA = "n_metadata"
    FOLDER_NAME = "folder_name"
    IN_CHANNEL = "in_channel"
    OUT_CHANNEL = "out_channel"
    MISSING_PROBABILITY = "missing_probability"
    MISSING_PROBABILITY_GROWTH = "missing_probability_growth"


class UncertaintyKW(Keywords):
    """``uncertainty``."""

    EPISTEMIC = "epistemic"
    ALEATORIC = "aleatoric"
    N_IT = "n_it"


class PostprocessingKW(Keywords):
    """``postprocessing``."""

    REMOVE_NOISE = "remove_noise"
    KEEP_LARGEST = "keep_largest"
    BINARIZE_PREDICTION = "binarize_prediction"
    BINARIZE_MAXPOOLING = "binarize_maxpooling"
    UNCERTAINTY = "uncertainty"
    FILL_HOLES = "fill_holes"
    REMOVE_SMALL = "remove_small"


class BinarizeProdictionKW(Keywords):
    """``postprocessing.binarize_prediction``; the class is spelt as it was in 2.x."""

    THR = "thr"


class EvaluationParamsKW(Keywords):
    """``evaluation_parameters``."""

    TARGET_SIZE = "target_size"
    OVERLAP = "overlap"
    REMOVE_SMALL = "remove_small"
    OBJECT_DETECTION_METRICS = "object_detection_metrics"


class TransformationKW(Keywords):
    """``transformation``."""

    RESAMPLE = "Resample"
    CENTERCROP = "CenterCrop"
    ROICROP = "ROICrop"


class OptionKW(Keywords):
    """Options of ``inference.segment_volume``."""

    FNAME_PRIOR = "fname_prior"
    METADATA = "metadata"
    PIXEL_SIZE = "pixel_size"
    PIXEL_SIZE_UNITS = "pixel_size_units"
    OVERLAP_2D = "overlap_2D"
    NO_PATCH = "no_patch"
    BINARIZE_PREDICTION = "binarize_prediction"
    BINARIZE_MAXPOOLING = "binarize_maxpooling"
    KEEP_LARGEST = "keep_largest"
    FILL_HOLES = "fill_holes"
    REMOVE_SMALL = "remove_small"


class BidsDataFrameKW(Keywords):
    """Columns of the table of a data set."""

    PATH = "path"
    FILENAME = "filename"


class SubjectDataFrameKW(Keywords):
    """Columns of the rows of a subject."""

    FILENAME = "filename"
    PATH = "path"


class SubjectDictKW(Keywords):
    """Files of a subject with several channels, see ``BidsDataset.create_filename_pair``."""

    ABSOLUTE_PATHS = "absolute_paths"
    DERIV_PATH = "deriv_path"
    ROI_FILENAME = "roi_filename"
    METADATA = "metadata"


class SegmentationPairKW(Keywords):
    """A pair of image and label, and an item of a data set."""

    INPUT = "input"
    GT = "gt"
    ROI = "roi"
    INPUT_METADATA = "input_metadata"
    GT_METADATA = "gt_metadata"
    ROI_METADATA = "roi_metadata"


class MetadataKW(Keywords):
    """Metadata of an image in a pair or item."""

    CONTRAST = "contrast"
    BOUNDING_BOX = "bounding_box"
    DATA_TYPE = "data_type"
    DATA_SHAPE = "data_shape"
    ZOOMS = "zooms"
    SLICE_INDEX = "slice_index"
    COORD = "coord"
    INDEX_SHAPE = "index_shape"
    INPUT_FILENAMES = "input_filenames"
    GT_FILENAMES = "gt_filenames"
    METADATA_DICT = "metadata_dict"
    BIDS_METADATA = "bids_metadata"
    FILM_INPUT = "film_input"
    MISSING_MOD = "missing_mod"
    CROP_PARAMS = "crop_params"
    PRE_RESAMPLE_SHAPE = "preresample_shape"
    ROTATION = "rotation"
    SCALE = "scale"
    TRANSLATION = "translation"
    ELASTIC = "elastic"
    REVERSE = "reverse"
    OFFSET = "offset"
