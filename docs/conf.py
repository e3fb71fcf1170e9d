"""How the documentation is built: `make docs`, or ``sphinx-build -W docs docs/_build``."""

import re
import sys
from pathlib import Path
from typing import Any

from ivadomed import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "ivadomed"
author = "the authors of ivadomed"
project_copyright = "MIT licence"
release = version = __version__

extensions = [
    "configuration_reference",
    "metrics_reference",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_ext", "figures", "**.ipynb"]
nitpicky = False

html_theme = "furo"
html_title = f"ivadomed {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_js_files = ["filter.js"]
html_show_copyright = False
copybutton_prompt_text = "$ "

# Docstrings quote names of code as `name`.
default_role = "code"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 88


def readable(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str | None, result: str | None
) -> Any:
    """A signature whose defaults are functions, by their names."""
    return signature and re.sub(r"<function (\w+)[^>]*>", r"\1", signature), result


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", readable)
