"""Command lines and calls as the documents of ivadomed 2 have them; what comes of them is tested tool by tool."""

import importlib
import inspect
import json

import pytest

COMMANDS = {
    "automate_training": [
        (
            "-c c.json -ch h.json -pd a b -n 3 --all-combin --run-test --fixed-split -l -t 0.1 -o out",
            {"config": "c.json", "config_hyper": "h.json", "path_data": ["a", "b"], "n_iterations": 3}
            | dict.fromkeys(("all_combin", "run_test", "fixed_split", "all_logs"), True)
            | {"thr_increment": 0.1, "output_dir": "out"},
        ),
        (
            "--config c.json --config-hyper h.json --path-data a --n-iterations 2 --multi-params --all-combin "
            "--all-logs --thr-increment 0.2 --output_dir out --plot_comparison",
            {"path_data": ["a"], "n_iterations": 2, "thr_increment": 0.2, "output_dir": "out"}
            | dict.fromkeys(("multi_params", "all_combin", "all_logs", "plot_comparison"), True),
        ),
        ("-c c -ch h -m", {"multi_params": True, "n_iterations": 1, "path_data": None, "run_test": False}),
    ],
    "compare_models": [
        (
            "-df results.csv -n 10 --run_test -o out.csv",
            {"dataframe": "results.csv", "n_iterations": 10, "run_test": True, "output": "out.csv"},
        ),
        (
            "--dataframe results.csv --n_iterations 10",
            {"n_iterations": 10, "run_test": False, "output": "comparison_models.csv"},
        ),
    ],
    "convert_to_onnx": [
        ("-m m.pt -d 2 -n 2 -g 1", {"model": "m.pt", "dimension": 2, "n_channels": 2, "gpu_id": 1}),
        (
            "--model m.pt --dimension 3 --n_channels 2 --gpu_id 1",
            {"dimension": 3, "n_channels": 2, "gpu_id": 1},
        ),
        ("-m m.pt -d 3", {"n_channels": 1, "gpu_id": 0}),
    ],
    "download_data": [
        ("-d t2_tumor -k -o there", {"data": "t2_tumor", "keep": True, "output": "there"}),
        ("--data data_multi_testing --keep --output there", {"data": "data_multi_testing", "keep": True}),
    ],
    "extract_small_dataset": [
        (
            "-i BIDS -o SMALL -n 10 -c T1w,T2w -d 0 -s 1234",
            {
                "input": "BIDS",
                "output": "SMALL",
                "number": 10,
                "contrasts": "T1w,T2w",
                "derivatives": 0,
                "seed": 1234,
            },
        ),
        (
            "--input BIDS --output SMALL --number 3 --contrasts T1w --derivatives 1 --seed -1",
            {"number": 3, "derivatives": 1, "seed": -1},
        ),
        ("-i BIDS -o SMALL", {"number": 10, "contrasts": None, "derivatives": 1, "seed": -1}),
    ],
    "prepare_dataset_vertebral_labeling": [
        ("-p path/to/bids -s _T2w -a 0", {"path": "path/to/bids", "suffix": "_T2w", "aim": 0}),
        ("--path path/to/bids --suffix _T2w --aim 5", {"aim": 5}),
        ("-p path/to/bids -s _T2w", {"aim": -1}),
    ],
    "segment_image": [
        ("-i a.nii.gz b.nii.gz -m model -s _pred", {"input": [["a.nii.gz", "b.nii.gz"]], "model": "model"}),
        ("--image a.nii.gz --path-model model --suffix _x", {"input": [["a.nii.gz"]], "suffix": ["_x"]}),
        ("--images a.nii.gz --path_model model", {"input": [["a.nii.gz"]], "model": "model"}),
    ],
    "training_curve": [
        (
            "-i a,b -o out --multiple -lr -y -1,0",
            {"input": "a,b", "multiple": True, "lr": True, "ylim_loss": ["-1,0"]},
        ),
        (
            "--input a --output out --lr --ylim_loss -1,0",
            {"output": "out", "lr": True, "ylim_loss": ["-1,0"]},
        ),
        ("--input a --output out --learning_rate", {"multiple": False, "lr": True, "ylim_loss": None}),
    ],
    "visualize_and_compare_testing_models": [
        (
            "--ofolders a b --metric dice_class0 --metadata pathology ms",
            {"ofolders": ["a", "b"], "metric": "dice_class0", "metadata": ["pathology", "ms"]},
        ),
        ("--ofolders a", {"ofolders": ["a"], "metric": "dice_class0", "metadata": None}),
    ],
    "visualize_transforms": [
        (
            "-i t2s.nii.gz -n 1 -c config.json -r t2s_seg.nii.gz -o out",
            {
                "input": "t2s.nii.gz",
                "number": 1,
                "config": "config.json",
                "roi": "t2s_seg.nii.gz",
                "output": "out",
            },
        ),
        ("--input t2s.nii.gz --config c --number 2 --output o --roi r", {"number": 2, "roi": "r"}),
        ("-i t2s.nii.gz -c c", {"number": 1, "roi": None}),
    ],
}


def tool(name):
    return importlib.import_module(f"ivadomed.scripts.{name}")


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [(name, line, expected) for name, lines in COMMANDS.items() for line, expected in lines],
)
def test_command_lines(name, line, expected):
    options = vars(tool(name).get_parser().parse_args(line.split()))
    assert {key: options[key] for key in expected} == expected


@pytest.mark.real_data
@pytest.mark.parametrize("name", COMMANDS)
def test_functions_take_what_those_of_2_9_took(real_data, name):
    documented = json.loads((real_data.parent / "contract" / "api.json").read_text())[
        f"ivadomed.scripts.{name}"
    ]
    for function, signature in documented.items():
        ours = getattr(tool(name), function)
        if isinstance(signature, dict):
            signature = signature["methods"]["__init__"].removeprefix("self, ")
        known = list(inspect.signature(ours).parameters.values())
        for place, text in enumerate(filter(None, signature.split(", "))):
            parameter, _, default = text.partition("=")
            assert known[place].name == parameter, function
            if default:
                assert known[place].default == json.loads(default), (function, parameter)
        assert all(extra.default is not extra.empty for extra in known[len(signature.split(", ")) :]), (
            function
        )
