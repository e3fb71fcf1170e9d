"""Import path of ivadomed 3.0; `ivadomed.config.reference` does the work."""

from ivadomed.config.reference import json_schema as json_schema
