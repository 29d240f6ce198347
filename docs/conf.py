"""Sphinx builds the documentation site from this folder and from the docstrings: `make site`."""

from __future__ import annotations

import mien

project = "mien"
author = "The mien authors"
project_copyright = "The mien authors, Apache-2.0"
release = version = mien.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
root_doc = "index"

# Links to headings, as GitHub makes them.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

# Docstrings write code in single backticks, too.
default_role = "code"
napoleon_custom_sections = [("Source", "notes_style"), ("Example", "notes_style")]
napoleon_use_ivar = True
napoleon_attr_annotations = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {"Source": "Source"}
autodoc_default_options = {"members": True, "exclude-members": "__init__, __new__"}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False

html_theme = "furo"
html_title = f"mien {release}"
html_copy_source = False
html_show_sphinx = False
