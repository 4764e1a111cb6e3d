"""Run one notebook as Colab would: only the wheel and its runtime dependencies can be imported,
nothing outside this machine answers.

cd EMPTY_FOLDER && PYTHONPATH=FOLDER_WITH_THE_WHEEL python .ci/alone.py NOTEBOOK

Also compares what each cell shows with the outputs stored in the notebook. Words and pictures must be the same;
numbers may differ by a thousandth, and by anything in cells that are marked `#| live: true`, whose numbers come out
of a training or a clock; cells marked `#| live: words` may also say something else, such as which precision a
machine has.
"""
import ipaddress, math, os, re, sys
from importlib import metadata
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from common import cfg, directive, read, skipped

NUMBER = r'[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[-+]?\d+)?'


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


def shown(text: str, outputs: list[dict]) -> tuple[str, list[float]]:
    """What a cell shows, given what it prints and the data of its other outputs:
    the words with 0 for each number, and the numbers."""
    text += ''.join(f'\n{data.get("text/plain", "")}\n{"(picture)" * ("image/png" in data)}' for data in outputs)
    text = re.sub(r' at 0x[0-9a-f]+', '', text)
    numbers = [float(n.replace(',', '').rstrip('.') or 0) for n in re.findall(NUMBER, text)]
    return ' '.join(re.sub(NUMBER, '0', text).split()), numbers


def same(old: tuple[str, list[float]], new: tuple[str, list[float]], live: bool) -> bool:
    "Whether a cell shows now what is stored; `live`: whatever the numbers."
    if old[0] != new[0]: return False
    return live or all(math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-6) for a, b in zip(old[1], new[1]))


def in_words(shown: tuple[str, list[float]]) -> str:
    "For a message."
    return f'{shown[0] or "nothing"}   {shown[1]}'


def start_shell():
    "A shell without prompts, colours or history, which shows a cell's last value like any other output."
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.display import display
    from traitlets.config import Config
    shell = InteractiveShell.instance(config=Config(HistoryManager={'enabled': False}), colors='nocolor')
    shell.displayhook.write_output_prompt = lambda: None
    shell.displayhook.write_format_data = lambda data, metadata=None: display(data, raw=True)
    return shell


def run(nb) -> str:
    """Run the notebook's cells; returns what is wrong: the first error,
    or cells that show something else than is stored, or a figure as words."""
    from IPython.utils.capture import capture_output
    shell, stale = start_shell(), ''
    for i, cell in enumerate(nb.cells):
        if skipped(cell): continue
        with capture_output() as now: result = shell.run_cell(cell.source, store_history=True)
        if not result.success: return f'cell {i}: {now.stdout}{now.stderr}'
        printed = ''.join(o.text for o in cell.outputs if o.get('name') == 'stdout')
        old = shown(printed, [o.data for o in cell.outputs if 'data' in o])
        new = shown(now.stdout, [o.data for o in now.outputs])
        for data in (o.data for o in now.outputs):
            if re.match(r'<(Figure|Picture) size', data.get('text/plain', '')) and 'image/png' not in data:
                stale += f'cell {i} shows a figure as words\n'
        live = directive(cell, 'live')
        if live != 'words' and not same(old, new, live is not None):
            stale += (f'cell {i} shows\n  {in_words(new)}\nbut stored is\n  {in_words(old)}\n'
                      '(make notebooks; #| live: true where a training or a clock decides)\n')
    return stale


if __name__ == '__main__':
    sys.path[0] = ''    # the notebook's folder, as in Jupyter, in place of this script's
    only_runtime()
    sys.addaudithook(offline)
    os.environ['MPLBACKEND'] = 'module://matplotlib_inline.backend_inline'
    package = __import__(cfg['lib_name'])
    wheel = os.environ['PYTHONPATH'].split(os.pathsep)[-1]
    if not package.__file__.startswith(wheel): sys.exit(f'not the wheel: {package.__file__}')
    sys.exit(run(read(Path(sys.argv[1]).resolve())) or 0)
