"""What a configuration can name is what there is."""

import inspect

import pytest

from ivadomed.config.schema import transforms as schemas
from ivadomed.config.schema.transformation import Transformation
from ivadomed.config.schema.transforms import Transform
from ivadomed.transforms import TRANSFORMS

SHARED = set(Transform.model_fields)


def test_every_transform_has_a_schema():
    # NumpyToTensor is a step of the documented functions, read from old files and left out by the schema.
    assert set(Transformation.model_fields) | {"NumpyToTensor"} == set(TRANSFORMS)


@pytest.mark.parametrize("name", list(Transformation.model_fields))
def test_schema_and_class_agree(name):
    cls = TRANSFORMS[name]
    schema = getattr(schemas, name)
    parameters = {} if cls.__init__ is object.__init__ else dict(inspect.signature(cls).parameters)
    if name == "BoundingBoxCrop":  # the box of each case comes from the object detection
        parameters.pop("start")
    fields = {key: field for key, field in schema.model_fields.items() if key not in SHARED}
    assert set(fields) == set(parameters)
    for key, parameter in parameters.items():
        field = fields[key]
        assert field.is_required() == (parameter.default is parameter.empty), key
        if not field.is_required():
            assert field.default == parameter.default, key
