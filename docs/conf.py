"""Sphinx settings. Before each build, generated.py writes the pages that come from the code, and gallery/ the drawings."""

import hashlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "gallery"))

import bocage
from built import setup  # noqa: F401 - Sphinx calls it
from generated import write_pages

ROOT = Path(__file__).parents[1]
project, author, release = "Bocage", "The Bocage authors", bocage.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_design", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["_build", "tables", "drawings", "examples", "example_pages/*.ipynb", "**sg_execution_times.rst"]
templates_path = ["_templates"]
smartquotes = False  # values in quotation marks are copied into recipes
suppress_warnings = ["ref.python"]

html_theme = "pydata_sphinx_theme"
html_title = "Bocage"
html_static_path = ["_static"]
html_css_files = ["bocage.css"]
html_show_sourcelink = html_copy_source = False
html_theme_options = {
    "logo": {"text": "Bocage"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": ["developers"],
}
html_sidebars = {"index": [], "tutorial/*": []}

autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = True
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4


sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "example_pages",
    "filename_pattern": r"plot_",
    "write_computation_times": False,
    "show_signature": False,
    "download_all_examples": False,
    "abort_on_example_error": True,
}


def _digest(folder: Path) -> str:
    """Return a digest of the files of a package: outputs of notebooks are kept as long as the code does not change."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".py", ".toml"):
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / "build" / "notebooks" / _digest(Path(bocage.__file__).parent))
nb_execution_in_temp = nb_execution_raise_on_error = True
nb_execution_timeout = 1200
nb_ipywidgets_js: dict[str, object] = {}  # no page has widgets, whose scripts come from another server
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # the command bocage

write_pages()
