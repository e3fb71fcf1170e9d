"""What users of other libraries, and of branches of ivadomed 2.x, may be looking for under another name.

TorchIO, MONAI, nnU-Net and torchvision name the same things differently. Where one of ours does the same, the message
about an unknown name says so; a name that only looks like it (RandomTranslation, RandomContrast) is no help.
"""

from __future__ import annotations

_AFFINE = "RandomAffine has {} ({})"
_TRANSLATE = _AFFINE.format("translations", "its key translate")
_ROTATE = _AFFINE.format("rotations", "its key degrees")
_SCALE = _AFFINE.format("changes of size", "its key scale")
_FLIP = "RandomMirror flips axes"
_NOISE = "AdditiveGaussianNoise adds noise"
_CROP = "CenterCrop crops and pads about the centre"
_ZSCORE = "NormalizeInstance subtracts the mean and divides by the standard deviation"
_RANGE = "NormalizePercentile scales two percentiles to 0 and 1"
_NOT_NEEDED = "it is not needed, every chain ends with tensors"
_OWN_MODEL = "a network of your own is named package.module:Class in default_model.name"

# Lower case, without the "d" that MONAI appends to its dictionary transforms.
OTHER_NAMES: dict[str, str] = {
    # transforms
    "randomtranslation": _TRANSLATE,
    "randomtranslate": _TRANSLATE,
    "translation": _TRANSLATE,
    "randomshift": _TRANSLATE + ", RandomShiftIntensity shifts intensities",
    "randomrotation": _ROTATE,
    "randomrotation3d": _ROTATE,
    "randomrotate": _ROTATE,
    "randrotate": _ROTATE,
    "randrotate90": _ROTATE,
    "randomscale": _SCALE,
    "randomscaling": _SCALE,
    "randomzoom": _SCALE,
    "randzoom": _SCALE,
    "randaffine": "RandomAffine rotates, translates and scales",
    "randomflip": _FLIP,
    "randflip": _FLIP,
    "randomhorizontalflip": _FLIP,
    "randomverticalflip": _FLIP,
    "mirrortransform": _FLIP,
    "randomelasticdeformation": "ElasticTransform deforms smoothly",
    "rand2delastic": "ElasticTransform deforms smoothly",
    "rand3delastic": "ElasticTransform deforms smoothly",
    "randomdeformation": "ElasticTransform deforms smoothly",
    "randomnoise": _NOISE,
    "gaussiannoise": _NOISE,
    "randgaussiannoise": _NOISE,
    "randgaussiansmooth": "RandomBlur blurs",
    "gaussianblur": "RandomBlur blurs",
    "randbiasfield": "RandomBiasField multiplies by a smooth field",
    "randadjustcontrast": "RandomGamma raises intensities to a power, RandomContrast stretches them",
    "randscaleintensity": "RandomBrightness multiplies intensities",
    "randshiftintensity": "RandomShiftIntensity adds a constant",
    "randomanisotropy": "RandomLowResolution simulates thick slices",
    "randsimulatelowresolution": "RandomLowResolution simulates thick slices",
    "znormalization": _ZSCORE,
    "normalizeintensity": _ZSCORE,
    "normalize": _ZSCORE,
    "standardize": _ZSCORE,
    "rescaleintensity": _RANGE,
    "scaleintensityrangepercentiles": _RANGE,
    "scaleintensity": _RANGE,
    "histogramstandardization": _RANGE,
    "clamp": "HistogramClipping clips at two percentiles",
    "croporpad": _CROP,
    "centerspatialcrop": _CROP,
    "resizewithpadorcrop": _CROP,
    "spatialpad": _CROP,
    "randspatialcrop": "loader_parameters.random_patch_params draws patches at random places",
    "randcropbyposneglabel": "loader_parameters.random_patch_params draws patches at random places",
    "cropforeground": "ROICrop crops about a region, BoundingBoxCrop to a detected box",
    "spacing": "Resample changes the voxel size",
    "resize": "Resample changes the voxel size, CenterCrop the size in voxels",
    "toorientation": "it is not needed, images are brought to one orientation",
    "tocanonical": "it is not needed, images are brought to one orientation",
    "orientation": "it is not needed, images are brought to one orientation",
    "totensor": _NOT_NEEDED,
    "ensuretype": _NOT_NEEDED,
    "vertebralsplitting": "it stood on a branch that was never released; there is no such transform",
    # losses
    "crossentropyloss": "BinaryCrossEntropyLoss is taken for each class",
    "bceloss": "BinaryCrossEntropyLoss is the same",
    "bcewithlogitsloss": "BinaryCrossEntropyLoss takes the activated output",
    "mseloss": "L2loss is half the sum of squared differences",
    "diceceloss": "LossCombination adds DiceLoss and BinaryCrossEntropyLoss",
    "dicefocalloss": "LossCombination adds DiceLoss and FocalLoss, FocalDiceLoss combines their logarithms",
    "wingloss": "AdapWingLoss is its adaptive form",
    "adaptivewingloss": "AdapWingLoss is the same",
    "jointsmseloss": "it stood on a branch that was never released; L2loss or AdapWingLoss train heat maps",
    # networks
    "hourglassnet": "it stood on a branch that was never released; Countception predicts heat maps",
    "attentionunet": "Modified3DUNet has attention gates (its key attention)",
    "attunet": "Modified3DUNet has attention gates (its key attention)",
    "nnunet": "ResidualEncoderUnet is nnU-Net's network",
    "dynunet": "ResidualEncoderUnet is nnU-Net's network",
    "residualencoderunet": "ResidualEncoderUnet is written like this",
    "unet2d": "Unet is 2D with is_2d true",
    "basicunet": "Unet is the plain U-Net",
    "vnet": _OWN_MODEL,
    "unetr": _OWN_MODEL,
    "swinunetr": _OWN_MODEL,
    "segresnet": _OWN_MODEL,
    "resnet34": "resnet18 is the one there is",
    "resnet50": "resnet18 is the one there is",
    "densenet": "densenet121 is the one there is",
    # keys
    "unet": "the U-Net is what default_model holds",
    "target_ground_truth": "it stood on a branch that was never released; loader_parameters.target_suffix names the "
    "labels",
    "random_seed": "split_dataset.random_seed draws the split, training_parameters.seed the rest",
    "seed": "split_dataset.random_seed draws the split, training_parameters.seed the rest",
    "dataset_groups": "it stood on a branch that was never released; loader_parameters.path_data takes several data "
    "sets",
    "expected_input": "it stood on a branch that was never released; "
    "loader_parameters.contrast_params.training_validation names the images",
    "expected_gt": "it stood on a branch that was never released; loader_parameters.target_suffix names the labels",
    "input_dropout_params": "it stood on a branch that was never released; loader_parameters.is_input_dropout blanks "
    "channels",
    "split_output": "it stood on a branch that was never released; results are all in path_output",
    "learning_rate": "training_parameters.scheduler.initial_lr is the learning rate",
    "lr": "training_parameters.scheduler.initial_lr is the learning rate",
    "epochs": "training_parameters.training_time.num_epochs is the number of epochs",
    "dropout": "dropout_rate is the probability of dropout",
    "patch_size": "length_2D or length_3D is the size of a patch",
    "patience": "training_parameters.training_time.early_stopping_patience is the number of epochs",
}


def meaning(name: str) -> str | None:
    """What here does what a name of elsewhere says; None for a name that is not known."""
    lower = name.lower()
    return OTHER_NAMES.get(lower) or (OTHER_NAMES.get(lower[:-1]) if name.endswith("d") else None)
