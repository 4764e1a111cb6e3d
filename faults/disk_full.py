"""A disk that is full, in every write of train, convert and predict.

    python faults/disk_full.py [--short]

A small file system in memory takes the place of the disk. Its room, and then the number of files that it may hold,
grow from nothing to enough, so that every write fails once. Each time the command has to say in one line that the
disk is full and what to do; with more room, the same command has to end as if nothing had happened.
"""
import os, shutil, subprocess, sys
from pathlib import Path

from common import MODEL, TINY, Outcome, Table, asked_short, command, contents, make_material, workplace

SHORT = asked_short()
COMMANDS = {
    'train': ['train', 'packed', '--run', 'disk/run', *TINY],
    'convert': ['convert', 'faces', 'disk/packed', '--size', '32'],
    'predict': ['predict', 'photos', '--out', 'disk/out', '--skip-existing', *MODEL]}
ENOUGH = 'size=64m,nr_inodes=1000'


def mount(options: str) -> None:
    "A new, empty file system at `disk`; or another size for the one that is there."
    how = f'remount,{options}' if os.path.ismount('disk') else options
    subprocess.run(['mount', '-t', 'tmpfs', '-o', how, 'tmpfs', 'disk'], check=True, stderr=subprocess.DEVNULL)


def fresh(options: str) -> None:
    "Nothing on the disk, and another size."
    if os.path.ismount('disk'): subprocess.run(['umount', 'disk'], check=True)
    mount(options)


def comparable(files: dict) -> dict:
    "Without what differs from run to run: times, the curve that shows nothing else, the order of lines in a table."
    kept = {k: v for k, v in files.items() if not k.endswith(('result.json', 'curve.png'))}
    return {k: sorted(v.splitlines()) if k.endswith('.csv') else v for k, v in kept.items()}


def problem(done: Outcome) -> str:
    "What is wrong with how a command met a full disk."
    errors = [line for line in done.err.splitlines() if 'error: ' in line]
    if done.code == 2 and len(errors) == 1 and 'disk is full' in errors[0] and 'free some space' in errors[0]: return ''
    return f'exit code {done.code}: {done.err[-1500:]}'


def sweep(table: Table, name: str, options: list[str], wanted: dict) -> None:
    "Run a command on disks of different sizes, first as they are, then with enough room."
    words = COMMANDS[name]
    for option in options:
        fresh(option)
        done = command(*words)
        wrong, how = ('', 'enough') if done.code == 0 else (problem(done), 'one line; then went on, the same files')
        mount(ENOUGH)
        if done.code: done = command(*words)
        if done.code: wrong += f'\nthen exit code {done.code}: {done.err[-1500:]}'
        found = comparable(contents(Path('disk')))
        if found != wanted:
            differ = sorted(k for k in {*found, *wanted} if found.get(k) != wanted.get(k))
            wrong += f'\nother files: {differ}'
        table.add(f'{name}, {option}', how, wrong)


def main() -> int:
    "All of it; the exit code."
    table = Table()
    with workplace() as here:
        Path('disk').mkdir()
        try: mount(ENOUGH)
        except (OSError, subprocess.CalledProcessError): return elsewhere()
        try:
            make_material(here)
            Path('photos').mkdir()
            for i in range(3): shutil.copy('photo.png', f'photos/{i}.png')
            for name, words in COMMANDS.items():
                fresh(ENOUGH)
                assert command(*words).code == 0
                wanted = comparable(contents(Path('disk')))
                pages = sum(-(-p.stat().st_size//4096) for p in Path('disk').rglob('*') if p.is_file())
                steps = 4 if SHORT else 12
                sizes = [f'size={4*max(1, round(i*1.6*pages/steps))}k,nr_inodes=1000' for i in range(steps)]
                files = range(2, 8, 2) if SHORT else range(2, 14)
                sweep(table, name, [*sizes, *(f'size=64m,nr_inodes={n}' for n in files)], wanted)
        finally: subprocess.run(['umount', 'disk'])
    return table.close()


def elsewhere() -> int:
    "The same in a user's own namespace, where mounting is allowed; where that is not, say so."
    if 'FAULTS_INSIDE' not in os.environ:
        os.environ['FAULTS_INSIDE'] = '1'
        script = [sys.executable, os.path.abspath(__file__), *sys.argv[1:]]
        try: return subprocess.run(['unshare', '--user', '--map-root-user', '--mount', *script]).returncode
        except FileNotFoundError: pass
    print('not possible here: no file system may be mounted')
    return 0


if __name__ == '__main__': sys.exit(main())
