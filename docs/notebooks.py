"""Display of the notebooks: a shell command is shown as a reader types it in a terminal, without the mark of IPython."""

from docutils import nodes
from sphinx.application import Sphinx


def setup(app: Sphinx) -> None:
    """Register the change of the cells with Sphinx."""
    app.connect("doctree-read", _show_commands)


def _show_commands(_: Sphinx, doctree: nodes.document) -> None:
    for block in doctree.findall(nodes.literal_block):
        lines = block.astext().splitlines()
        if lines and all(line.startswith("!") for line in lines):
            text = "\n".join(line[1:] for line in lines)
            block.replace_self(nodes.literal_block(text, text, language="sh"))
