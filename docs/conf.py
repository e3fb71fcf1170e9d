"""How the documentation is built: `make docs`, or ``sphinx-build -W docs docs/_build``."""

import sys
from pathlib import Path

from ivadomed import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "ivadomed"
author = "the authors of ivadomed"
project_copyright = "MIT licence"
release = version = __version__

extensions = [
    "configuration_reference",
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
html_show_copyright = False
copybutton_prompt_text = "$ "

# Docstrings quote names of code as `name`.
default_role = "code"
autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 88
