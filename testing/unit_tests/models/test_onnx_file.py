"""ONNX files are opened in one place, which reads no other file."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ivadomed.errors import ModelError
from ivadomed.models.files import external_data, open_onnx

FLOAT = TensorProto.FLOAT


def tensor(name="weights", location=None):
    made = numpy_helper.from_array(np.arange(4, dtype=np.float32), name)
    if location is not None:
        made.ClearField("raw_data")
        made.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, "offset": "0", "length": "16"}.items():
            made.external_data.add(key=key, value=value)
    return made


def model(nodes, initializers=(), sparse=(), functions=()):
    ends = [helper.make_tensor_value_info(name, FLOAT, [4]) for name in ("input", "output")]
    graph = helper.make_graph(
        nodes, "g", ends[:1], ends[1:], list(initializers), sparse_initializer=list(sparse)
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=list(functions))


def add(names=("input", "weights"), output="output"):
    return helper.make_node("Add", list(names), [output])


def constant(value, name="weights"):
    return helper.make_node("Constant", [], [name], value=value)


def initializer(value):
    return model([add()], [value])


def attribute(value):
    return model([constant(value), add()])


def branch(value):
    """The tensor lies in a graph within the graph."""
    inner = [helper.make_tensor_value_info("inner", FLOAT, [4])]
    graphs = [
        helper.make_graph([add(("input", "weights"), "inner")], "then", [], inner, [value]),
        helper.make_graph([helper.make_node("Neg", ["input"], ["inner"])], "else", [], inner),
    ]
    choice = helper.make_node("If", ["yes"], ["output"], then_branch=graphs[0], else_branch=graphs[1])
    return model([choice], [helper.make_tensor("yes", TensorProto.BOOL, [], [True])])


def function(value):
    body = [constant(value), add(("x", "weights"), "y")]
    opset = [helper.make_opsetid("", 17)]
    own = helper.make_function("own", "AddWeights", ["x"], ["y"], body, opset)
    return model([helper.make_node("AddWeights", ["input"], ["output"], domain="own")], functions=[own])


def sparse(value):
    value.dims[:] = [4]
    positions = helper.make_tensor("positions", TensorProto.INT64, [4], [0, 1, 2, 3])
    return model([add()], sparse=[helper.make_sparse_tensor(value, positions, [4])])


PLACES = [initializer, attribute, branch, function, sparse]


@pytest.mark.parametrize("make", PLACES)
def test_a_model_in_one_file_opens(tmp_path, make):
    path = tmp_path / "location.onnx"
    content = make(tensor())
    content.graph.doc_string = "location"  # which alone says nothing
    path.write_bytes(content.SerializeToString())
    [output] = open_onnx(path).run(None, {"input": np.ones(4, np.float32)})
    np.testing.assert_array_equal(output, [1, 2, 3, 4])


@pytest.mark.parametrize(
    "location", ["weights.bin", "{folder}/weights.bin", "../weights.bin", "", "*/_ORT_MEM_ADDR_/*"]
)
@pytest.mark.parametrize("make", PLACES)
def test_weights_in_another_file_never_reach_onnxruntime(tmp_path, monkeypatch, make, location):
    """In the folder of the model, outside, nowhere, and in the memory of the process."""
    (tmp_path / "weights.bin").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    path = tmp_path / "model.onnx"
    path.write_bytes(make(tensor(location=location.format(folder=tmp_path))).SerializeToString())
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("onnxruntime got the file")
    )
    with pytest.raises(ModelError, match=r"model\.onnx: refused, the weights 'weights' lie in another file"):
        open_onnx(path)


def test_a_location_counts_whatever_the_tensor_says():
    made = tensor(location="weights.bin")
    made.data_location = TensorProto.DEFAULT
    assert external_data(initializer(made).SerializeToString()) == [("weights", "weights.bin")]


def test_the_remedy_of_the_message_helps(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(initializer(tensor()), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    with pytest.raises(ModelError, match=r"onnx\.load.*onnx\.save"):
        open_onnx(path)
    onnx.save(onnx.load(path), path)
    (tmp_path / "w.bin").unlink()
    assert open_onnx(path).run(None, {"input": np.zeros(4, np.float32)})[0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "content", [b"", b"location", b"\x08\x08ORTM" + b"\0" * 100, b"\0\0\0\0ORTMlocation"]
)
def test_what_is_no_onnx_file(tmp_path, content):
    """The format of onnxruntime itself among it, which is recognised by its content."""
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.onnx: not a readable ONNX model"):
        open_onnx(tmp_path / "m.onnx")


def test_no_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(ModelError, match="cannot be read"):
            open_onnx(path)
