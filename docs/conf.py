"""How Sphinx builds the site: ``make docs``. Downloads nothing; every warning is an error."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import metaselector  # noqa: E402

project = "MetaSelector"
author = "the authors of MetaSelector"
release = version = metaselector.__version__
project_copyright = ""

extensions = [
    "myst_nb",  # brings myst_parser
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "extensions.docstrings",
    "extensions.mathml",
    "extensions.repository_links",
    "extensions.settings_reference",
    "extensions.command_reference",
    "extensions.results",
    "extensions.reliability",
    "extensions.links",
    "extensions.table_widths",
]
exclude_patterns = ["_build"]
nb_execution_mode = "off"  # their outputs are committed: make notebooks
nitpicky = True

myst_enable_extensions = ["dollarmath", "attrs_inline", "deflist", "colon_fence"]
myst_heading_anchors = 3
myst_dmath_double_inline = True

html_theme = "furo"
html_title = f"MetaSelector {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
copybutton_exclude = ".linenos, .gp, .go"

# In docstrings `name` is a parameter or a value, not a link.
default_role = "literal"
autodoc_inherit_docstrings = False  # torch's own, of forward
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 120

# Documented by other packages: their inventories would have to be downloaded.
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(torch|numpy|np|pandas|pd|annotated_types|collections|matplotlib|optuna|pathlib|pyarrow|pydantic|threading|types)\..*",
    ),
    (r"py:class", r"Module|Tensor"),  # inherited, in strings
]
