"""Write what follows from other files: into notebooks the Open-in-Colab badge and the cell that installs the package in
Colab, from settings.ini; into nbs/sidebar.yml the site's sidebar, from the notebooks' numbers and titles.

python .ci/stamp.py [NOTEBOOK ...]    all under nbs/ when none is named
"""
import sys
from pathlib import Path

import nbformat
import yaml

from common import NBS, cfg, name, notebooks, number, title

BADGE = ('[![Open in Colab]({up}images/colab.svg)]'
         '(https://colab.research.google.com/github/{user}/{repo}/blob/{branch}/{path})')
SETUP = """#| hide
# In Colab only: install the package once, keep Colab's torch, say what computes.
import sys, importlib.util
if 'google.colab' in sys.modules:
    if not importlib.util.find_spec('{lib_name}'):
        %pip install -q --no-deps git+{git_url}
    import torch
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else ''
    print(device or 'no GPU: see Runtime > Change runtime type')"""


def stamp(path: Path) -> None:
    "Put the two stamped cells right after the title of the notebook at `path`; write only what changes."
    path = path.resolve()
    nb = nbformat.read(path, as_version=4)
    before = nbformat.writes(nb)
    first, *rest = (c for c in nb.cells if c.id not in ('colab-badge', 'colab-setup'))
    up = '../'*len(path.relative_to(NBS).parts[1:])
    badge = nbformat.v4.new_markdown_cell(BADGE.format(path=name(path), up=up, **cfg), id='colab-badge')
    setup = nbformat.v4.new_code_cell(SETUP.format(**cfg), id='colab-setup')
    setup.execution_count = next((c.execution_count for c in nb.cells if c.id == 'colab-setup'), None)
    nb.cells = [first, badge, setup, *rest]
    if nbformat.writes(nb) != before: nbformat.write(nb, path)


PARTS = {'0': 'Start here', '1': 'Data', '2': 'Network', '3': 'Training', '4': 'The report', '5': 'Out in the world',
         '6': 'The lab book', '9': 'To look up', 'solutions': 'Solutions'}


def sidebar() -> str:
    "The site's sidebar as YAML: a section for each part of the map, a line for each notebook."
    sections = {part: [] for part in PARTS}
    for path in notebooks():
        part = 'solutions' if path.parent.name == 'solutions' else number(path)[:1] or '0'
        words = 'Home' if path.stem == 'index' else title(path).replace('Solutions: ', '')
        sections[part].append({'text': words, 'href': path.relative_to(NBS).as_posix()})
    sections['9'].append({'text': 'API reference', 'href': 'reference.qmd'})    # .ci/docs.py writes it
    sections['0'].sort(key=lambda entry: entry['href'] != 'index.ipynb')
    contents = [{'section': words, 'contents': sections[part]} for part, words in PARTS.items()]
    site = {'website': {'sidebar': {'contents': contents}}}
    return yaml.safe_dump(site, sort_keys=False, allow_unicode=True, width=200)


if __name__ == '__main__':
    for path in [Path(a) for a in sys.argv[1:]] or notebooks(): stamp(path)
    (NBS/'sidebar.yml').write_text(sidebar(), encoding='utf-8')
