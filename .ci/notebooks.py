"""Run notebooks from a fresh kernel and store their outputs in place, two at a time;
then clean, stamp and refresh the README.

python .ci/notebooks.py [NOTEBOOK ...]    all under nbs/ when none is named
"""
import os, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import readme, stamp
from common import name, notebooks, skipped, tool

os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.update(TQDM_DISABLE='1')


class Client(NotebookClient):
    "A client that leaves `#| eval: false` cells alone."
    async def async_execute_cell(self, cell, *args, **kwargs):
        return cell if skipped(cell) else await super().async_execute_cell(cell, *args, **kwargs)


def still(nb) -> None:
    """Forget live widgets, which a stored notebook cannot show and whose ids differ each time;
    the pictures they bring stay."""
    nb.metadata.pop('widgets', None)
    for cell in nb.cells:
        for out in cell.get('outputs', []): out.get('data', {}).pop('application/vnd.jupyter.widget-view+json', None)


def run(path: Path) -> bool:
    "Run the notebook at `path` in its folder and store what it printed; a failing one is left as it was."
    start, nb = time.time(), nbformat.read(path, as_version=4)
    problem = ''
    try: Client(nb, timeout=600, kernel_name='python3', coalesce_streams=True, extra_arguments=['--log-level=ERROR'],
               resources={'metadata': {'path': str(path.parent)}}).execute()
    except CellExecutionError as e: problem = f'\n{e}'
    else:
        still(nb)
        nbformat.write(nb, path)
    print(f'{"FAILED" if problem else "ok":6} {time.time()-start:4.0f}s  {name(path)}{problem}', flush=True)
    return not problem


if __name__ == '__main__':
    paths = [Path(a).resolve() for a in sys.argv[1:]] or notebooks()
    for path in paths: stamp.stamp(path)
    tool('nbdev_export')
    with ThreadPoolExecutor(2) as pool: results = list(pool.map(run, paths))
    tool('nbdev_clean')
    readme.write()
    sys.exit(not all(results))
