"""Installation of ivadomed: ``pip install .``"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "ivadomed" / "__init__.py").read_text()).group(1)
REQUIREMENTS = [
    line for line in (HERE / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")
]

setup(
    name="ivadomed",
    version=VERSION,
    description="Config-driven deep learning on medical images: MRI, CT and microscopy in BIDS folders",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["ivadomed", "ivadomed.*"]),
    package_data={"ivadomed.config": ["*.json"], "ivadomed.report": ["*.html", "*.css", "*.js"]},
    install_requires=REQUIREMENTS,
    extras_require={
        "cluster": ["dask>=2024.1", "distributed>=2024.1"],
        "completion": ["shtab>=1.6"],
        "search": ["optuna>=4.0"],
        "wandb": ["wandb>=0.17"],
    },
    entry_points={
        "console_scripts": [
            "ivadomed=ivadomed.main:main",
            "ivadomed_automate_training=ivadomed.scripts.automate_training:main",
            "ivadomed_check_data=ivadomed.scripts.check_data:main",
            "ivadomed_compare_models=ivadomed.scripts.compare_models:main",
            "ivadomed_completion=ivadomed.scripts.completion:main",
            "ivadomed_convert_model=ivadomed.scripts.convert_model:main",
            "ivadomed_convert_to_onnx=ivadomed.scripts.convert_to_onnx:main",
            "ivadomed_create_phantom=ivadomed.scripts.create_phantom:main",
            "ivadomed_download_data=ivadomed.scripts.download_data:main",
            "ivadomed_extract_small_dataset=ivadomed.scripts.extract_small_dataset:main",
            "ivadomed_prepare_dataset_vertebral_labeling=ivadomed.scripts.prepare_dataset_vertebral_labeling:main",
            "ivadomed_segment_image=ivadomed.scripts.segment_image:main",
            "ivadomed_training_curve=ivadomed.scripts.training_curve:main",
            "ivadomed_visualize_and_compare_testing_models=ivadomed.scripts.visualize_and_compare_testing_models:main",
            "ivadomed_visualize_transforms=ivadomed.scripts.visualize_transforms:main",
        ]
    },
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
    ],
)
