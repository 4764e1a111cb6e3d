"""Write into notebooks what settings.ini knows: the Open-in-Colab badge and the cell that installs the package in Colab.

python .ci/stamp.py [NOTEBOOK ...]    all under nbs/ when none is named
"""
import sys
from pathlib import Path

import nbformat

from common import cfg, name, notebooks

BADGE = '[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/{user}/{repo}/blob/{branch}/{path})'
SETUP = """#| hide
# In Colab only: install the package once, keep Colab's own torch.
import sys, importlib.util
if 'google.colab' in sys.modules and not importlib.util.find_spec('{lib_name}'):
    %pip install -q --no-deps git+{git_url}"""


def stamp(path: Path) -> None:
    "Put the two stamped cells right after the title of the notebook at `path`; write only what changes."
    nb = nbformat.read(path, as_version=4)
    before = nbformat.writes(nb)
    title, *rest = (c for c in nb.cells if c.id not in ('colab-badge', 'colab-setup'))
    badge = nbformat.v4.new_markdown_cell(BADGE.format(path=name(path.resolve()), **cfg), id='colab-badge')
    setup = nbformat.v4.new_code_cell(SETUP.format(**cfg), id='colab-setup')
    setup.execution_count = next((c.execution_count for c in nb.cells if c.id == 'colab-setup'), None)
    nb.cells = [title, badge, setup, *rest]
    if nbformat.writes(nb) != before: nbformat.write(nb, path)


if __name__ == '__main__':
    for path in [Path(a) for a in sys.argv[1:]] or notebooks(): stamp(path)
