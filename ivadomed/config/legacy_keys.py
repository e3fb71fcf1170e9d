"""Tables of keys that older versions wrote: the renamed and the dropped."""

from __future__ import annotations

MODEL_SECTIONS = (
    "default_model",
    "FiLMedUnet",
    "HeMISUnet",
    "Modified3DUNet",
    "ResidualEncoderUnet",
    "Countception",
    "resnet18",
    "densenet121",
)

# Section of a network -> the arguments that no other network has.
OWN_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "FiLMedUnet": ("metadata", "film_layers"),
    "HeMISUnet": ("missing_probability", "missing_probability_growth"),
    "Modified3DUNet": ("attention", "metadata", "film_layers"),
    "ResidualEncoderUnet": ("max_filters", "n_blocks", "deep_supervision"),
    "Countception": ("use_logits", "logits_per_output"),
    "resnet18": (),
    "densenet121": (),
}

# Section ("" is the top level) -> old key -> new key.
RENAMED: dict[str, dict[str, str]] = {
    "": {"log_directory": "path_output", "UNet3D": "Modified3DUNet"},
    "loader_parameters": {
        "bids_path": "path_data",
        "contrasts": "contrast_params",
        "slice_filter": "slice_filter_params",
        "roi": "roi_params",
        "validate_BIDS": "bids_validate",
    },
    "loader_parameters.contrast_params": {"train_validation": "training_validation", "test": "testing"},
    "training_parameters.scheduler": {"scheduler_lr": "lr_scheduler"},
    "evaluation_parameters": {"targetSize": "target_size", "removeSmall": "remove_small"},
    "transformation": {
        "CenterCrop2D": "CenterCrop",
        "CenterCrop3D": "CenterCrop",
        "ROICrop2D": "ROICrop",
        "ROICrop3D": "ROICrop",
        "AdditionGaussianNoise": "AdditiveGaussianNoise",
        "Clage": "Clahe",
    },
    **{
        name: {"batch_norm_momentum": "bn_momentum", "attention_unet": "attention", "is_2D": "is_2d"}
        for name in MODEL_SECTIONS
    },
}

_STORED = "an earlier run had stored it; it is derived from other keys"
_OBSOLETE = "it has no effect any more"

# Key that is in another section now: old place -> new place.
MOVED: dict[tuple[str, str], tuple[str, str]] = {
    ("", "validate_BIDS"): ("loader_parameters", "bids_validate"),
    ("loader_parameters.slice_filter_params", "filter_empty_mask_patch"): (
        "loader_parameters.patch_filter_params",
        "filter_empty_mask",
    ),
    ("loader_parameters.slice_filter_params", "filter_empty_input_patch"): (
        "loader_parameters.patch_filter_params",
        "filter_empty_input",
    ),
}

# Section -> key -> why it is dropped.
DROPPED: dict[str, dict[str, str]] = {
    "": {
        "missing_modality": _OBSOLETE,
        "attention_unet": _OBSOLETE + "; see Modified3DUNet.attention",
        "mixup_bool": _OBSOLETE + "; see training_parameters.mixup_alpha",
        "metadata": _OBSOLETE + "; see FiLMedUnet.metadata",
    },
    "object_detection_params": dict.fromkeys(("gpu", "gpu_ids", "log_directory", "path_output"), _STORED),
    "loader_parameters": {
        **dict.fromkeys(
            ("contrast_lst", "model_params", "object_detection_params", "metadata_type", "is_train"), _STORED
        ),
        "split_method": _OBSOLETE + "; see split_dataset.split_method",
        "soft_input": _OBSOLETE,
    },
    "loader_parameters.contrast_params": {
        "contrast_lst": _STORED,
        "random_seed": _OBSOLETE + "; see split_dataset.random_seed",
        "center_test": _OBSOLETE + "; see split_dataset.data_testing",
    },
    "training_parameters.scheduler.lr_scheduler": {
        "last_epoch": "the training says where it is",
        "verbose": "the log has the learning rate of each epoch",
    },
    "transformation": {"NumpyToTensor": "every chain ends with tensors"},
    **{
        name: {"ram": _OBSOLETE, "padding_3D": _OBSOLETE}
        | dict.fromkeys(
            (
                "in_channel",
                "out_channel",
                "n_metadata",
                "film_onehotencoder",
                "metadata_dict",
                "multichannel",
                "contrasts",
                "folder_name",
                "path_hdf5",
                "hdf5_path",
                "csv_path",
                "target_lst",
                "roi_lst",
            ),
            _STORED,
        )
        for name in MODEL_SECTIONS
    },
}
DROPPED["default_model"]["applied"] = _STORED
for _network in OWN_ARGUMENTS:
    DROPPED[_network]["name"] = "the section's own name says it"

# Keys that 2.8 to 2.9.10 wrote, dropped wherever they stand.
DROPPED_EVERYWHERE = {"training_sha256": "an earlier run had stored it, and nothing reads it"}
