"""Everything `make test` checks, a line for each check as it ends; the last line counts those that ran.

1. What is stored: every notebook as a reader meets it on GitHub.
2. Exporting, cleaning, stamping and writing the README change nothing.
3. The package: sdist and wheel, the installed command, the requirements; the site.
4. Every notebook with nbdev_test, with the development extras.
5. Every notebook alone: from an empty folder, with only the wheel and its runtime dependencies, offline.
"""
import os, re, shutil, subprocess, sys, tarfile, tempfile, time, zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import indent

from common import ROOT, cfg, directive, name, notebooks, read

BIN = Path(sys.executable).parent
START = time.time()
MACHINE_PATH = r'(?<![\w.])/(?:home|Users|root|work|tmp|opt|var|private|usr|content)/[\w.-]+'
os.environ.update(OMP_NUM_THREADS='1', TQDM_DISABLE='1', PYTHONUNBUFFERED='1')
passed, failed = [], []


def record(what: str, problem: str = '') -> None:
    "Count one check and say how it went."
    (failed if problem else passed).append(what)
    print(f'{time.time()-START:5.0f}s  {"FAILED" if problem else "ok":6}  {what}', flush=True)
    if problem: print(indent(problem.strip()[-6000:], ' '*8), flush=True)


def run(*command, **kwargs) -> subprocess.CompletedProcess:
    "Run a command and keep what it prints, errors included."
    return subprocess.run([str(c) for c in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, **kwargs)


def problem(result: subprocess.CompletedProcess, expected: int = 0) -> str:
    "What to report of a command: nothing if it ended as expected."
    return '' if result.returncode == expected else f'exit code {result.returncode}\n{result.stdout}'


def stored(path: Path) -> str:
    "What is wrong with a notebook as it is stored."
    wrong, nb = [], read(path)
    if path.stat().st_size > 2**20: wrong.append('is larger than 1 MiB')
    for i, cell in enumerate(nb.cells):
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
            if any(k.startswith('image/') for k in data) and not directive(cell, 'fig-alt'):
                wrong.append(f'cell {i} shows a picture without #| fig-alt')
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
    def contents(): return {p: p.read_bytes() for p in copy.rglob('*') if p.is_file() and '__pycache__' not in p.parts}
    env = {**os.environ, 'PYTHONPATH': str(copy)}
    before = contents()
    for command in [[BIN/'nbdev_export'], [BIN/'nbdev_clean'], [sys.executable, '.ci/stamp.py'], [sys.executable, '.ci/readme.py']]:
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
    expected |= {p.relative_to(copy).as_posix() for p in (copy/cfg['lib_path']).rglob('*.py')}
    found = {n for n in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in n}
    record('the wheel holds the modules and the results, nothing else', '\n'.join(
        f'{n}: {"missing" if n in expected else "not expected"}' for n in sorted(expected ^ found)))
    held = {n.partition('/')[2] for n in tarfile.open(sdist).getnames()}
    record('the sdist holds what setup.py reads', '\n'.join(
        f'{n}: missing' for n in ['settings.ini', 'README.md', 'LICENSE', 'setup.py', 'pyproject.toml'] if n not in held))
    record('the wheel installs', problem(run(sys.executable, '-m', 'pip', 'install', '-qq', '--no-deps', '--target', site, wheel)))
    record('pip check', problem(run(sys.executable, '-m', 'pip', 'check')))


def site(copy: Path, count: int) -> None:
    "The documentation site; this runs what nbdev runs of each notebook for it: exported cells, and cells with imports, alone."
    result = run(sys.executable, '.ci/docs.py', cwd=copy, env={**os.environ, 'PYTHONPATH': str(copy)})
    pages = len(list((copy/cfg['doc_path']).rglob('*.html')))
    record('the site builds', problem(result) or (f'{pages} pages of {count} notebooks' if pages < count else ''))


def command_line(site: Path, empty: Path) -> None:
    "The console command of the wheel, from an empty folder."
    def call(*args): return run(BIN/'facemask-seg', *args, cwd=empty, env={**os.environ, 'PYTHONPATH': str(site)})
    for args in [[], ['convert'], ['train'], ['evaluate'], ['predict'], ['demo']]:
        record(' '.join(['facemask-seg', *args, '--help']), problem(call(*args, '--help')))
    result = call('evaluate', 'nowhere')
    wrong = problem(result, expected=2) or (result.stdout if len(result.stdout.strip().splitlines()) != 1 else '')
    record('facemask-seg says in one line that a folder is not there', wrong)


def with_nbdev(paths: list[Path]) -> None:
    "nbdev_test over all notebooks; counts those that it says it completed."
    command = [BIN/'nbdev_test', '--n_workers', '2', '--do_print', '--timing']
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    output, completed = '', []
    for line in process.stdout:
        output += line
        for path in re.findall(r'- Completed (.*?\.ipynb)', line):
            completed.append(Path(path))
            print(f'{time.time()-START:5.0f}s  {len(completed)}/{len(paths)}  {name(completed[-1])}', flush=True)
    bad = {Path(p) for p in re.findall(r' in (/.*\.ipynb):$', output, re.MULTILINE)}
    if process.wait(): print(output)
    if process.returncode and not bad: record('nbdev_test', f'exit code {process.returncode}; see above')
    for path in paths:
        record(f'nbdev_test {name(path)}', 'see its traceback above' if path in bad else '' if path in completed else 'was not run')
    print(''.join(f'{"":8}{line}\n' for line in re.findall(r'^\S+\.ipynb: \d+ secs$', output, re.MULTILINE)), end='')


def alone(paths: list[Path], site: Path, tmp: Path) -> None:
    "Every notebook in a process and an empty folder of its own, two at a time."
    env = {k: v for k, v in os.environ.items() if k != 'FACEMASK_DATA'}
    env |= {'PYTHONPATH': str(site), 'IPYTHONDIR': str(tmp/'ipython')}

    def one(path: Path) -> None:
        "Run one notebook and record how it went."
        with tempfile.TemporaryDirectory(dir=tmp) as empty:
            try: wrong = problem(run(sys.executable, ROOT/'.ci/alone.py', path, cwd=empty, env=env, timeout=600))
            except subprocess.TimeoutExpired: wrong = 'did not end within 10 minutes'
        record(f'alone {name(path)}', wrong)

    with ThreadPoolExecutor(2) as pool: list(pool.map(one, paths))


def main() -> int:
    "Run all checks; the exit code."
    paths = notebooks()
    if not paths: sys.exit('there are no notebooks')
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        for folder in ('copy', 'dist', 'site', 'empty'): (tmp/folder).mkdir()
        for path in paths: record(f'stored {name(path)}', stored(path))
        copy_project(tmp/'copy')
        unchanged(tmp/'copy')
        package(tmp/'copy', tmp/'dist', tmp/'site')
        command_line(tmp/'site', tmp/'empty')
        site(tmp/'copy', len(paths))
        with_nbdev(paths)
        alone(paths, tmp/'site', tmp)
    print(''.join(f'\nFAILED  {what}' for what in failed))
    print(f'{len(passed)} passed, {len(failed)} failed')
    return bool(failed)


if __name__ == '__main__': sys.exit(main())
