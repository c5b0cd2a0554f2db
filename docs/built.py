"""Changes and checks of the built pages: shell commands as a reader types them, and no address of another server."""

import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import SphinxError


def setup(app: Sphinx) -> None:
    """Register the functions of this module with Sphinx."""
    app.connect("doctree-read", lambda _, doctree: show_commands(doctree))
    app.connect("build-finished", _check)


def show_commands(doctree: nodes.document) -> None:
    """Show a shell command of a notebook as a reader types it in a terminal, without the mark of IPython."""
    for block in list(doctree.findall(nodes.literal_block)):
        lines = block.astext().splitlines()
        if lines and all(line.startswith("!") for line in lines):
            text = "\n".join(line[1:] for line in lines)
            block.replace_self(nodes.literal_block(text, text, language="sh"))


def foreign_addresses(html: str) -> list[str]:
    """Return the addresses on other servers that a browser loads with a page: scripts, styles, images, frames."""
    return re.findall(r'<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)="((?:https?:)?//[^"]+)"', html)


def _check(app: Sphinx, exception: Exception | None) -> None:
    """Stop the build if a page loads something from another server: the documentation is read without a network, too."""
    if exception:
        return
    for page in sorted(Path(app.outdir).rglob("*.html")):
        if found := foreign_addresses(page.read_text(encoding="utf-8")):
            raise SphinxError(f"{page.relative_to(app.outdir)} loads {found[0]}. Copy this file into docs/_static.")
