"""The site: `python -m pip install ".[docs]"`, then

python -m sphinx --fail-on-warning --keep-going docs build/site
"""

import re

import ddjax

project, author, copyright = "ddjax", "the authors of ddjax", "the authors of ddjax"
version = release = ddjax.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_parts", "build", "runs"]
# Attributes of two classes may have one name.
suppress_warnings = ["ref.python"]

# Notebooks are shown as they were last run; tests/docs_test.py runs them.
nb_execution_mode = "off"
myst_heading_anchors = 3

smartquotes = False
html_theme = "furo"
html_title = f"ddjax {version}"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_use_rtype = False
napoleon_use_ivar = True
# Docstrings are plain text in which backticks mark code.
default_role = "code"


def escape(app, what, name, obj, options, lines):
    """Escapes what reStructuredText would take for markup, outside of backticks."""
    markup = re.compile(r"[*|\\]|(?<=\w)_(?!\w)")
    for index, line in enumerate(lines):
        parts = line.split("`")
        parts[::2] = [markup.sub(r"\\\g<0>", part) for part in parts[::2]]
        lines[index] = "`".join(parts)


def setup(app):
    app.connect("autodoc-process-docstring", escape, priority=1)
