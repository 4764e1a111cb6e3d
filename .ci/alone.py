"""Run one notebook as Colab would: only the wheel and its runtime dependencies can be imported, nothing outside this machine answers.

cd EMPTY_FOLDER && PYTHONPATH=FOLDER_WITH_THE_WHEEL python .ci/alone.py NOTEBOOK

Also compares what each cell shows with the outputs stored in the notebook, numbers aside (they may differ between machines), and complains of
a figure that is shown as `<Figure size ...>`.
"""
import ipaddress, os, re, sys
from importlib import metadata
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from common import cfg, read, skipped


def runtime() -> set[str]:
    "The names of the distributions that installing the package brings, by following requirements."
    found, todo = set(), [(cfg['lib_name'], '')]
    while todo:
        dist, extra = todo.pop()
        for line in metadata.requires(dist) or []:
            req = Requirement(line)
            if req.marker and not req.marker.evaluate({'extra': extra}): continue
            for item in [(canonicalize_name(req.name), e) for e in ('', *req.extras)]:
                if item not in found: found.add(item); todo.append(item)
    return {dist for dist, _ in found}


class RuntimeOnly(PathFinder):
    "Finds what is on sys.path, except what belongs only to development packages."
    blocked: set[str] = set()

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname.partition('.')[0] in cls.blocked else super().find_spec(fullname, path, target)


def only_runtime() -> None:
    "From here on, this process finds no development package and not the project's own folder."
    allowed = runtime() | {cfg['lib_name'].replace('_', '-'), 'pip', 'setuptools'}
    RuntimeOnly.blocked = {top for top, dists in metadata.packages_distributions().items()
                           if not allowed & {canonicalize_name(d) for d in dists}}
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, RuntimeOnly]


def offline(event: str, args: tuple) -> None:
    "An audit hook: no connection and no name look-up beyond this machine."
    if event == 'socket.connect': host = args[1][0] if isinstance(args[1], tuple) else 'localhost'
    elif event == 'socket.getaddrinfo': host = args[0]
    else: return
    host = host.decode() if isinstance(host, bytes) else host or 'localhost'
    try: local = ipaddress.ip_address(host).is_loopback
    except ValueError: local = host == 'localhost'
    if not local: raise OSError(f'offline: the notebook asked for {host}')


def shown(text: str, outputs: list[dict]) -> str:
    "What a cell shows, given what it prints and the data of its other outputs; addresses, numbers and spaces are levelled."
    text += ''.join(f'\n{data.get("text/plain", "")}\n{"(picture)" * ("image/png" in data)}' for data in outputs)
    text = re.sub(r' at 0x[0-9a-f]+', '', text)
    return ' '.join(re.sub(r'[-+]?\d[\d.,]*(e[-+]?\d+)?', '0', text).split())


def run(nb) -> str:
    "Run the notebook's cells; returns what is wrong: the first error, or cells that show something else than is stored, or a figure as words."
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.display import display
    from IPython.utils.capture import capture_output
    from traitlets.config import Config
    shell = InteractiveShell.instance(config=Config(HistoryManager={'enabled': False}), colors='nocolor')
    shell.displayhook.write_output_prompt = lambda: None    # a cell's last value is shown like any other output
    shell.displayhook.write_format_data = lambda data, metadata=None: display(data, raw=True)
    stale = ''
    for i, cell in enumerate(nb.cells):
        if skipped(cell): continue
        with capture_output() as now: result = shell.run_cell(cell.source, store_history=True)
        if not result.success: return f'cell {i}: {now.stdout}{now.stderr}'
        old = shown(''.join(o.text for o in cell.outputs if o.get('name') == 'stdout'), [o.data for o in cell.outputs if 'data' in o])
        new = shown(now.stdout, [o.data for o in now.outputs])
        for data in (o.data for o in now.outputs):
            if re.match(r'<(Figure|Picture) size', data.get('text/plain', '')) and 'image/png' not in data: stale += f'cell {i} shows a figure as words\n'
        if new != old: stale += f'cell {i} shows\n  {new or "nothing"}\nbut stored is\n  {old or "nothing"}\n(make notebooks)\n'
    return stale


if __name__ == '__main__':
    sys.path[0] = ''    # the notebook's folder, as in Jupyter, in place of this script's
    only_runtime()
    sys.addaudithook(offline)
    os.environ['MPLBACKEND'] = 'module://matplotlib_inline.backend_inline'
    package = __import__(cfg['lib_name'])
    if not package.__file__.startswith(os.environ['PYTHONPATH']): sys.exit(f'not the wheel: {package.__file__}')
    sys.exit(run(read(Path(sys.argv[1]).resolve())) or 0)
