"""The notebooks that train, run as other machines would: two instruction sets, one and two threads, other seeds.

python .ci/machines.py [NOTEBOOK ...]    all that train when none is named

A training rounds differently on another processor, and another network comes out: what a notebook asserts about one
must hold whatever the machine. The table has a line for each comparison in such an assert: what it compares with, the
range that was seen, and the margin in units of that range's width (3 or more is safe; below 1 the next machine may
fail). Runs in parallel by two.
"""
import ast, json, os, platform, subprocess, sys, tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from common import directive, name, notebooks, read, skipped

# With these a newer x86 processor rounds like one without AVX-512
OLDER = {'ATEN_CPU_CAPABILITY': 'avx2', 'ONEDNN_MAX_CPU_ISA': 'AVX2'}
SETS = {'native': {}, 'avx2': OLDER} if platform.machine() in ('x86_64', 'AMD64') else {'native': {}}
THREADS, SEEDS = (1, 2), (0, 1, 2)
OTHER_SEEDS = """import torch  # as sitecustomize, in the notebook's process and in those that it starts
plain = torch.manual_seed
torch.manual_seed = lambda seed: plain(seed + 1000*{seed})
"""
SIDES = {ast.Lt: '<', ast.LtE: '<=', ast.Gt: '>', ast.GtE: '>='}


class Noted(ast.NodeTransformer):
    "Turns each `a < b` inside an assert into a call that notes both sides."
    def visit_Assert(self, node):
        return Compared(ast.unparse(node.test)).visit(node)


class Compared(ast.NodeTransformer):
    "Within the assert `text`."
    def __init__(self, text): self.text = text

    def visit_Compare(self, node):
        self.generic_visit(node)
        if len(node.ops) > 1 or type(node.ops[0]) not in SIDES: return node
        args = [ast.Constant(self.text), ast.Constant(SIDES[type(node.ops[0])]), node.left, node.comparators[0]]
        return ast.copy_location(ast.Call(ast.Name('_noted', ast.Load()), args, []), node)


def child(path: Path) -> None:
    "Run one notebook in this process; print what was compared and the first error as JSON."
    import contextlib, io, operator

    from IPython.core.interactiveshell import InteractiveShell
    seen = []

    def noted(text, sign, a, b):
        "Compare, and remember the numbers."
        result = {'<': operator.lt, '<=': operator.le, '>': operator.gt, '>=': operator.ge}[sign](a, b)
        with contextlib.suppress(TypeError, ValueError): seen.append((text, sign, float(a), float(b)))
        return result

    shell = InteractiveShell.instance(colors='nocolor')
    shell.push({'_noted': noted})
    shell.ast_transformers.append(Noted())
    error = ''
    for i, cell in enumerate(read(path).cells):
        if skipped(cell): continue
        with contextlib.redirect_stdout(io.StringIO()) as out: result = shell.run_cell(cell.source)
        if not result.success:
            error = f'cell {i}: {out.getvalue()[-1500:]}'
            break
    print('RESULT' + json.dumps([seen, error]))


def run(job: tuple) -> tuple:
    "One notebook on one machine."
    path, (isa, threads, seed) = job
    env = {**os.environ, **SETS[isa], 'OMP_NUM_THREADS': str(threads), 'TQDM_DISABLE': '1', 'MPLBACKEND': 'agg'}
    with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryDirectory() as first:
        Path(first, 'sitecustomize.py').write_text(OTHER_SEEDS.format(seed=seed), encoding='utf-8')
        env['PYTHONPATH'] = os.pathsep.join(filter(None, [first, env.get('PYTHONPATH')]))
        done = subprocess.run([sys.executable, __file__, '--child', path], cwd=empty, env=env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    found = done.stdout.rpartition('RESULT')[2] if 'RESULT' in done.stdout else json.dumps([[], done.stdout[-1500:]])
    seen, error = json.loads(found)
    machine = f'{isa:7} {threads} thread{"s" * (threads > 1):1} seed {seed}'
    print(f'{"FAILED" if error else "ok":6} {machine}  {name(path)}  {error}', flush=True)
    return path, seen, error


def table(results: list[tuple]) -> str:
    "What was compared, over all machines, as a Markdown table."
    ranges = defaultdict(list)
    for path, seen, _ in results:
        for text, sign, a, b in seen: ranges[name(path), text, sign].append((a, b))
    lines = ['| notebook | assert | seen | against | margin |', '|---|---|---|---|---|']
    for (notebook, text, sign), pairs in ranges.items():
        gaps = [(b - a) if sign in '<=' else (a - b) for a, b in pairs]
        left, right = zip(*pairs)
        spread = max(gaps) - min(gaps)
        if not spread: continue  # no training decides it
        margin = f'{min(gaps) / spread:.1f}'
        shown = text if len(text) < 90 else text[:87] + '...'
        lines.append(f'| {notebook} | `{shown}` | {min(left):.4g} to {max(left):.4g} '
                     f'| {sign} {min(right):.4g} to {max(right):.4g} | {margin} |')
    return '\n'.join(lines)


def main(paths: list[Path]) -> int:
    "Run, print the table and the failures; the exit code."
    paths = paths or [p for p in notebooks()
                      if any(directive(c, 'live') is not None for c in read(p).cells if c.cell_type == 'code')]
    jobs = [(path, machine) for path in paths for machine in product(SETS, THREADS, SEEDS)]
    with ThreadPoolExecutor(2) as pool: results = list(pool.map(run, jobs))
    failed = sum(bool(error) for _, _, error in results)
    print(table(results))
    print(f'{len(results) - failed} runs held, {failed} failed')
    return bool(failed)


if __name__ == '__main__':
    if sys.argv[1:2] == ['--child']: child(Path(sys.argv[2]))
    else: sys.exit(main([Path(a).resolve() for a in sys.argv[1:]]))
