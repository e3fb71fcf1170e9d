"""Every name of 2.9.10 and of the manual of 2020 has its path, and its signature."""

import importlib
import inspect
import json
import math
import warnings
from typing import Any

import pytest
import torch

import ivadomed.postprocessing  # noqa: F401
from ivadomed import keywords
from ivadomed.config.problems import models_in
from ivadomed.config.schema.run import RunConfig

NAMES = {
    "ivadomed.config_manager": (
        "ConfigurationManager ConfigurationManager.get_config ConfigurationManager.change_keys "
        "ConfigurationManager.change_keys_values deep_dict_compare load_json update"
    ),
    "ivadomed.evaluation": (
        "Evaluation3DMetrics Evaluation3DMetrics.label_per_size Evaluation3DMetrics.get_vol "
        "Evaluation3DMetrics.get_rvd Evaluation3DMetrics.get_avd Evaluation3DMetrics.get_ltpr "
        "Evaluation3DMetrics.get_lfdr Evaluation3DMetrics.run_eval evaluate"
    ),
    "ivadomed.inference": (
        "get_onehotencoder get_preds image_reconstruction onnx_inference pred_to_nib pred_to_png "
        "process_transformations reconstruct_3d_object segment_volume set_option "
        "set_postprocessing_options split_classes volume_reconstruction"
    ),
    "ivadomed.loader.balanced_sampler": "BalancedSampler",
    "ivadomed.loader.bids3d_dataset": "Bids3DDataset",
    "ivadomed.loader.bids_dataframe": (
        "BidsDataframe BidsDataframe.create_bids_dataframe BidsDataframe.add_tsv_metadata "
        "BidsDataframe.get_subjects_with_derivatives BidsDataframe.get_subject_fnames "
        "BidsDataframe.get_deriv_fnames BidsDataframe.get_derivatives BidsDataframe.save "
        "BidsDataframe.write_derivatives_dataset_description"
    ),
    "ivadomed.loader.bids_dataset": (
        "BidsDataset BidsDataset.get_target_filename BidsDataset.create_metadata_dict "
        "BidsDataset.fill_multichannel_dict BidsDataset.create_filename_pair"
    ),
    "ivadomed.loader.film": (
        "Kde_model Kde_model.train Kde_model.predict check_isMRIparam clustering_fit "
        "get_film_metadata_models normalize_metadata save_film_params store_film_params"
    ),
    "ivadomed.loader.loader": "load_dataset",
    "ivadomed.loader.mri2d_segmentation_dataset": (
        "MRI2DSegmentationDataset MRI2DSegmentationDataset.load_filenames "
        "MRI2DSegmentationDataset.prepare_indices MRI2DSegmentationDataset.set_transform "
        "MRI2DSegmentationDataset.determine_cache_need"
    ),
    "ivadomed.loader.mri3d_subvolume_segmentation_dataset": (
        "MRI3DSubVolumeSegmentationDataset MRI3DSubVolumeSegmentationDataset.determine_cache_need"
    ),
    "ivadomed.loader.patch_filter": "PatchFilter",
    "ivadomed.loader.sample_meta_data": "SampleMetadata SampleMetadata.items SampleMetadata.keys",
    "ivadomed.loader.segmentation_pair": (
        "SegmentationPair SegmentationPair.get_pair_shapes SegmentationPair.get_pair_data "
        "SegmentationPair.get_pair_metadata SegmentationPair.get_pair_slice "
        "SegmentationPair.read_file SegmentationPair.convert_file_to_nifti "
        "SegmentationPair.get_microscopy_pixelsize"
    ),
    "ivadomed.loader.slice_filter": "SliceFilter",
    "ivadomed.loader.utils": (
        "create_temp_directory dropout_input filter_roi get_file_extension "
        "get_new_subject_file_split get_obj_size get_subdatasets_subject_files_list imed_collate "
        "orient_img_hwd orient_img_ras orient_shapes_hwd reorient_image split_dataset "
        "update_filename_to_nifti update_metadata"
    ),
    "ivadomed.losses": (
        "AdapWingLoss AdapWingLoss.forward BinaryCrossEntropyLoss BinaryCrossEntropyLoss.forward "
        "DiceLoss DiceLoss.forward FocalDiceLoss FocalDiceLoss.forward FocalLoss FocalLoss.forward "
        "FocalTverskyLoss FocalTverskyLoss.forward GeneralizedDiceLoss GeneralizedDiceLoss.forward "
        "L2loss L2loss.forward LossCombination LossCombination.forward MultiClassDiceLoss "
        "MultiClassDiceLoss.forward TverskyLoss TverskyLoss.tversky_index TverskyLoss.forward"
    ),
    "ivadomed.main": (
        "check_multiple_raters create_dataset_and_ivadomed_version_log create_path_model "
        "film_normalize_data get_dataset get_parser run_command run_main run_segment_command "
        "save_config_file set_loader_params set_model_params set_output_path "
        "update_film_model_params"
    ),
    "ivadomed.maths": "gaussian_kernel heatmap_generation rescale_values_array",
    "ivadomed.metrics": (
        "MetricManager MetricManager.get_results MetricManager.reset accuracy_score dice_score "
        "get_metric_fns hausdorff_score intersection_over_union mse multi_class_dice_score "
        "numeric_score plot_dice_thr plot_roc_curve precision_score recall_score specificity_score"
    ),
    "ivadomed.mixup": "mixup save_mixup_sample",
    "ivadomed.models": (
        "ConvBlock ConvBlock.forward Countception Countception.forward Decoder Decoder.forward "
        "DenseNet DenseNet.forward DownConv DownConv.forward Encoder Encoder.forward FiLMedUnet "
        "FiLMedUnet.forward FiLMgenerator FiLMgenerator.forward FiLMlayer FiLMlayer.forward "
        "GridAttentionBlockND GridAttentionBlockND.forward HeMISUnet HeMISUnet.forward "
        "Modified3DUNet Modified3DUNet.conv_norm_lrelu Modified3DUNet.norm_lrelu_conv "
        "Modified3DUNet.lrelu_conv Modified3DUNet.norm_lrelu_upscale_conv_norm_lrelu "
        "Modified3DUNet.norm_lrelu Modified3DUNet.upscale_conv_norm_lrelu Modified3DUNet.forward "
        "ResNet ResNet.forward SimpleBlock SimpleBlock.forward UNet3D Unet Unet.forward "
        "UnetGridGatingSignal3 UnetGridGatingSignal3.forward UpConv UpConv.forward densenet121 "
        "get_model_filenames resnet18 set_model_for_retrain weights_init_kaiming"
    ),
    "ivadomed.object_detection.utils": (
        "adjust_bb_size adjust_transforms adjust_undo_transforms bounding_box_prior "
        "compute_bb_statistics generate_bounding_box_file get_bounding_boxes load_bounding_boxes "
        "resample_bounding_box resize_to_multiple verify_metadata"
    ),
    "ivadomed.postprocessing": (
        "Postprocessing Postprocessing.apply Postprocessing.binarize_prediction "
        "Postprocessing.binarize_maxpooling Postprocessing.uncertainty Postprocessing.remove_small "
        "Postprocessing.fill_holes Postprocessing.keep_largest Postprocessing.remove_noise "
        "binarize_with_low_threshold coordinate_from_heatmap fill_holes keep_largest_object "
        "keep_largest_object_per_slice label_file_from_coordinates mask_predictions "
        "multilabel_capable nifti_capable remove_small_objects threshold_predictions"
    ),
    "ivadomed.preprocessing": "get_midslice_average",
    "ivadomed.scripts.automate_training": (
        "HyperparameterOption HyperparameterOption.create_name_str automate_training format_results "
        "get_base_keys get_param_list get_parser keys_are_unique main make_config_list "
        "split_dataset test_worker train_worker update_dict"
    ),
    "ivadomed.scripts.compare_models": "compute_statistics get_parser main",
    "ivadomed.scripts.convert_to_onnx": "convert_pytorch_to_onnx get_parser main",
    "ivadomed.scripts.download_data": "download_data get_parser install_data main unzip",
    "ivadomed.scripts.extract_small_dataset": (
        "extract_small_dataset get_parser is_good_contrast main remove_some_contrasts"
    ),
    "ivadomed.scripts.prepare_dataset_vertebral_labeling": (
        "extract_mid_slice_and_convert_coordinates_to_heatmaps get_parser main mask2label"
    ),
    "ivadomed.scripts.segment_image": "add_suffix get_parser main segment_image splitext",
    "ivadomed.scripts.training_curve": (
        "get_events_path_list get_parser main plot_curve run_plot_training_curves tensorboard_retrieve_event"
    ),
    "ivadomed.scripts.visualize_and_compare_testing_models": (
        "get_parser main onclick visualize_and_compare_models"
    ),
    "ivadomed.scripts.visualize_transforms": "get_data get_parser main run_visualization",
    "ivadomed.testing": "get_gt run_inference test threshold_analysis",
    "ivadomed.training": "get_loss_function get_metadata get_sampler get_scheduler load_checkpoint train",
    "ivadomed.transforms": (
        "AdditiveGaussianNoise BoundingBoxCrop CenterCrop Clahe Compose Crop Crop.undo_transform "
        "CroppableArray DilateGT DilateGT.dilate_arr ElasticTransform HistogramClipping "
        "ImedTransform NormalizeInstance NormalizeInstance.undo_transform NumpyToTensor "
        "NumpyToTensor.undo_transform ROICrop RandomAffine RandomAffine.undo_transform "
        "RandomBiasField RandomBlur RandomGamma RandomReverse RandomReverse.undo_transform "
        "RandomShiftIntensity RandomShiftIntensity.undo_transform Resample Resample.undo_transform "
        "UndoCompose UndoTransform apply_preprocessing_transforms get_preprocessing_transforms "
        "get_subdatasets_transforms multichannel_capable prepare_transforms tio_transform "
        "two_dim_compatible"
    ),
    "ivadomed.uncertainty": (
        "combine_predictions run_uncertainty structurewise_uncertainty voxelwise_uncertainty"
    ),
    "ivadomed.utils": (
        "ArgParseException Metavar check_exe cuda define_device display_selected_model_spec "
        "display_selected_transfoms format_path_data generate_sha_256 get_arguments get_command "
        "get_linux_system_memory get_mac_system_memory get_path_data get_path_output "
        "get_system_memory get_task get_timestamp get_win_system_memory init_ivadomed "
        "initialize_wandb plot_transformed_sample print_stats save_onnx_model similarity_score "
        "unstack_tensors"
    ),
    "ivadomed.visualize": (
        "AnimatedGif AnimatedGif.add AnimatedGif.save HookBasedFeatureExtractor "
        "HookBasedFeatureExtractor.get_input_array HookBasedFeatureExtractor.get_output_array "
        "HookBasedFeatureExtractor.forward LoopingPillowWriter LoopingPillowWriter.finish "
        "convert_labels_to_RGB overlap_im_seg save_color_labels save_feature_map save_img"
    ),
}
"""Module to the names of 2.9.10 and the methods of its classes."""

OLDER = {
    "ivadomed.loader.adaptative": "Bids_to_hdf5 Dataframe HDF5Dataset HDF5_to_Bids",
    "ivadomed.loader.film": "CONTRAST_CATEGORY GENERIC_CONTRAST MANUFACTURER_CATEGORY",
    "ivadomed.loader.loader": "Bids3DDataset BidsDataset",
    "ivadomed.loader.utils": (
        "EXT_LST SampleMetadata clean_metadata get_new_subject_split get_subdatasets_subjects_list"
    ),
    "ivadomed.evaluation": "Evaluation3DMetrics.remove_small_objects",
    "ivadomed.main": "MODEL_LIST run_main",
    "ivadomed.scripts.download_data": "DICT_URL",
    "ivadomed.utils": "AXIS_DCT CLASSIFIER_LIST __ivadomed_dir__",
}
"""Names of the manual of 2020 and of 2.x beside them, under the path that they have kept."""

MOVED = {
    "ivadomed.loader.loader": "MRI2DSegmentationDataset MRI3DSubVolumeSegmentationDataset SegmentationPair",
    "ivadomed.loader.utils": "BalancedSampler",
    "ivadomed.training": "save_film_params store_film_params",
    "ivadomed.transforms": "preprare_transforms rescale_values_array",
    "ivadomed.utils": (
        "HookBasedFeatureExtractor SliceFilter combine_predictions convert_labels_to_RGB cuda define_device mixup "
        "onnx_inference plot_transformed_sample pred_to_nib reorient_image run_uncertainty save_color_labels "
        "save_feature_map save_mixup_sample save_onnx_model save_tensorboard_img segment_volume "
        "structurewise_uncertainty unstack_tensors volume_reconstruction voxelwise_uncertainty initialize_wandb"
    ),
}
"""Names of the manual of 2020 and of 2.x that are somewhere else now."""

OF_3_0 = {
    "ivadomed.config.editor_schema": "json_schema",
    "ivadomed.grid": "Grid hwd_to_ras ras_to_hwd",
    "ivadomed.io": (
        "Image as_image is_file is_nifti is_picture make_nifti read_classes read_grid read_image read_label save_nifti "
        "split_extension without_extension write_nifti write_picture"
    ),
    "ivadomed.threshold": "threshold_analysis",
}
"""Names of the API pages of 3.0 whose modules have moved."""

TO_ITS_OWN = {("ivadomed.utils", name) for name in MOVED["ivadomed.utils"].split()}


def resolve(module: str, name: str) -> tuple[Any, list[str]]:
    """The object of a path, and the warnings that were given."""
    first, _, rest = name.partition(".")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = getattr(importlib.import_module(module), first)
    found = getattr(found, rest) if rest else found
    return found, [str(w.message) for w in caught if "is now" in str(w.message)]


def pairs(table: dict[str, str]) -> list[tuple[str, str]]:
    return [(module, name) for module, names in table.items() for name in names.split()]


@pytest.mark.parametrize(("module", "name"), pairs(NAMES))
def test_names_of_2_9_10(module, name):
    found, told = resolve(module, name)
    assert callable(found)
    assert bool(told) == ((module, name) in TO_ITS_OWN)


@pytest.mark.parametrize(("module", "name"), pairs(OLDER | OF_3_0))
def test_names_that_have_kept_their_path(module, name):
    found, told = resolve(module, name)
    assert found is not None
    assert told == []


@pytest.mark.parametrize(("module", "name"), pairs(MOVED))
def test_names_that_moved_say_where_they_are(module, name):
    found, [message] = resolve(module, name)
    old, _, new = message.partition(" is now ")
    assert old == f"{module}.{name}"
    place, _, attribute = new.rpartition(".")
    assert resolve(place, attribute) == (found, [])


def split_arguments(text: str) -> list[tuple[str, str | None]]:
    """Names and defaults (as text) of "self, a, b=[1, 2], **kwargs"."""
    parts, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += (character in "[({") - (character in "])}")
        if character == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    parts.append(text[start:])
    split = [part.strip().partition("=") for part in parts if part.strip()]
    return [(name, default if equals else None) for name, equals, default in split]


def faults(found: Any, documented: str) -> list[str]:
    """What of a documented signature does not hold: the names in order, and their defaults.

    More arguments may follow, and one that was required may have a default; both change nothing for a caller.
    """
    parameters = list(inspect.signature(found).parameters.values())
    by_name = {parameter.name: parameter for parameter in parameters}
    result, wanted = [], split_arguments(documented)
    for place, (name, default) in enumerate(wanted):
        if name.startswith("*"):
            if all(p.kind is not p.VAR_KEYWORD for p in parameters):
                result.append(f"takes no {name}")
        elif name not in by_name:
            result.append(f"has no {name}")
        elif parameters.index(by_name[name]) != place:
            result.append(f"{name} stands elsewhere")
        elif default is not None and not same_default(by_name[name].default, default):
            result.append(f"{name} is {by_name[name].default!r} by default, not {default}")
    names = {name for name, _ in wanted}
    return result + [
        f"requires {p.name}"
        for p in parameters
        if p.name not in names and p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ]


def same_default(found: Any, documented: str) -> bool:
    """Whether a default is the documented one: JSON, NaN, or the text of an object in quotes."""
    constants = {"null": None, "true": True, "false": False}
    if documented in constants:
        return found is constants[documented]
    if documented == "NaN":
        return isinstance(found, float) and math.isnan(found)
    if documented.startswith('"LeakyReLU'):  # a module; None makes one of its own for every block
        return found is None or isinstance(found, torch.nn.LeakyReLU)
    if documented.startswith('"'):
        return str(found) == documented.strip('"')
    if documented.startswith("["):
        return list(found) == [float(item) for item in documented.strip("[]").split(",")]
    return found == float(documented)


@pytest.mark.parametrize(
    ("documented", "expected"),
    [
        ("a, b, c=1", []),
        ("a, b=2", []),
        ("a, b=3", ["b is 2 by default, not 3"]),
        ("b, a", ["b stands elsewhere", "a stands elsewhere"]),
        ("b", ["b stands elsewhere", "requires a"]),
        ("a, x", ["has no x"]),
        ("a, b, c=[1, 2]", ["c is 1 by default, not [1, 2]"]),
        ("a, **kwargs", ["takes no **kwargs"]),
    ],
)
def test_signatures_are_compared(documented, expected):
    def function(a, b=2, c=1):
        pass

    if documented == "a, b, c=[1, 2]":
        function.__defaults__ = (2, (1, 2))
        assert faults(function, documented) == []
        function.__defaults__ = (2, [1])
        assert len(faults(function, documented)) == 1
    else:
        assert faults(function, documented) == expected


@pytest.mark.real_data
def test_signatures_of_2_9_10(real_data):
    file = real_data.parent / "contract" / "api.json"
    if not file.is_file():
        pytest.skip("the contract is not there")
    wrong, count = [], 0
    for module, names in json.loads(file.read_text()).items():
        for name, entry in names.items():
            assert name in NAMES[module].split()
            found, _ = resolve(module, name)
            count += 1
            signatures = {name: entry} if isinstance(entry, str) else {}
            for method, text in {} if signatures else entry["methods"].items():
                signatures[f"{name}.{method}"] = text
            for path, text in signatures.items():
                _, _, method = path.partition(".")
                thing = getattr(found, method) if method else found
                wrong += [f"{module}.{path}: {fault}" for fault in faults(thing, text)]
    assert wrong == []
    assert count == 273


def keys_of(section: str) -> set[str]:
    """Keys of a section of the configuration, "a.b"; of the whole for ""."""
    model: Any = RunConfig
    for part in section.split(".") if section else ():
        model = models_in(model.model_fields[part])[0]
    return set(model.model_fields)


@pytest.mark.parametrize(
    ("group", "section", "others"),
    [
        ("ConfigKW", "", ()),
        ("LoaderParamsKW", "loader_parameters", ("model_params", "metadata_type", "object_detection_params")),
        ("SplitDatasetKW", "split_dataset", ()),
        ("DataTestingKW", "split_dataset.data_testing", ()),
        ("TrainingParamsKW", "training_parameters", ()),
        ("BalanceSamplesKW", "training_parameters.balance_samples", ()),
        ("ContrastParamsKW", "loader_parameters.contrast_params", ("contrast_lst",)),
        ("ROIParamsKW", "loader_parameters.roi_params", ()),
        ("SliceFilterParamsKW", "loader_parameters.slice_filter_params", ()),
        ("PatchFilterParamsKW", "loader_parameters.patch_filter_params", ()),
        ("ObjectDetectionParamsKW", "object_detection_params", ("gpu_ids", "path_output")),
        ("UncertaintyKW", "uncertainty", ()),
        ("PostprocessingKW", "postprocessing", ()),
        ("BinarizeProdictionKW", "postprocessing.binarize_prediction", ()),
        ("EvaluationParamsKW", "evaluation_parameters", ()),
        ("TransformationKW", "transformation", ()),
    ],
)
def test_keywords_are_keys_of_the_configuration(group, section, others):
    members = {str(member) for member in getattr(keywords, group)}
    assert members - set(others) <= keys_of(section)
    assert set(others) <= members


def test_keywords_are_their_text():
    assert {"path_output": 1}[keywords.ConfigKW.PATH_OUTPUT] == 1
    assert f"{keywords.MetadataKW.CROP_PARAMS}" == keywords.MetadataKW.CROP_PARAMS.value == "crop_params"
    assert (
        json.dumps({keywords.ROIParamsKW.SUFFIX: keywords.OptionKW.FNAME_PRIOR})
        == '{"suffix": "fname_prior"}'
    )
