"""SIGKILL at random moments: a training and a conversion that were killed end as those that were not.

    python faults/kill.py [--short]

A killed process writes nothing any more, not even a half line. Each run below is killed again and again, at moments
drawn at random, and started again, until it ends; then every byte must be that of a run that nobody disturbed. Then
two processes that write into one folder, the same thing or two different ones; a source whose files are cut off,
deleted and replaced while they are converted, and somebody who tries to open the folder all the while; and a training
by two processes together, of which one is killed.
"""
import json, os, random, signal, subprocess, sys, time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from common import TINY, Table, asked_short, contents, environment, make_material, workplace

SHORT = asked_short()
KILLS = {'train': 5 if SHORT else 20, 'convert': 4 if SHORT else 12}
FACES = 60 if SHORT else 400


def train(dest: Path) -> None:
    "A short training with a checkpoint after every step."
    import torch
    from facemask_seg.train import Recipe, fit
    torch.set_num_threads(1)
    recipe = Recipe(model='tiny_unet', size=32, batch_size=4, epochs=4, precision='fp32')
    fit(recipe, 'packed', dest, 'cpu', progress=False, checkpoint_minutes=0)


def convert(dest: Path, size: int = 48) -> None:
    "Many small faces packed."
    from facemask_seg.convert import pack
    pack('many', dest, size=size, workers=2, progress=False)


def convert_small(dest: Path) -> None:
    "The same, with another outcome."
    convert(dest, 32)


def start(work: Callable, dest: Path) -> int:
    """Do `work` in a child of this process; its id.
    (This process itself must never use PyTorch, or its children could not.)"""
    pid = os.fork()
    if pid: return pid
    try: work(dest)
    except BaseException as e:
        print(f'      {type(e).__name__}: {e}', flush=True)
        os._exit(1)
    os._exit(0)


def ended(pid: int) -> int:
    "Wait for a child; its exit code, negative if a signal ended it."
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def result(dest: Path) -> dict:
    "What a run leaves, but for how long it took."
    found = contents(dest)
    if 'result.json' in found:
        told = {k: v for k, v in json.loads(found['result.json']).items() if k not in ('seconds', 'photos_per_second')}
        found['result.json'] = json.dumps(told).encode()
        found.pop('curve.png')
    return found


def where(dest: Path) -> str:
    "How far a killed run was, as its folder tells."
    from facemask_seg.weights import read_text
    if (dest/'resume.safetensors').exists():
        kept = json.loads(read_text(dest/'resume.safetensors'))
        return f'on disk: epoch {len(kept["history"])}, step {kept["losses"][2]}'
    if (dest/'unfinished.jsonl').exists():
        lines = (dest/'unfinished.jsonl').read_text().count('\n')
        return f'on disk: {lines - 1} faces'
    return 'on disk: ' + (', '.join(sorted(contents(dest))) or 'nothing')


def torment(table: Table, name: str, work: Callable, kills: int, draw: random.Random) -> None:
    "Kill `work` so many times; compare whatever ends."
    began = time.perf_counter()
    assert ended(start(work, Path(f'{name}-straight'))) == 0
    lasts, wanted = time.perf_counter() - began, result(Path(f'{name}-straight'))
    killed, run = 0, 0
    while killed < kills:
        run += 1
        dest = Path(f'{name}-{run}')
        while True:
            pid = start(work, dest)
            time.sleep(draw.uniform(0, lasts) if killed < kills else 0)
            if killed < kills: os.kill(pid, signal.SIGKILL)
            code = ended(pid)
            if code != -signal.SIGKILL: break
            killed += 1
            table.add(f'{name} {run}: killed', where(dest))
            if (dest/'manifest.json').exists():   # all was written when it was killed; to begin again is refused
                code = 0
                break
        same = result(dest) == wanted
        differs = '' if same else f'differs in {differing(result(dest), wanted)}'
        problem = '' if code == 0 and same else f'exit code {code}; {differs}'
        table.add(f'{name} {run}: started again, ended', 'every byte the same', problem)


def differing(a: dict, b: dict) -> list[str]: return sorted(k for k in {*a, *b} if a.get(k) != b.get(k))


def together(table: Table, name: str, work: Callable) -> None:
    "Two processes at once: one is turned away, the other is not disturbed."
    dest = Path(f'{name}-both')
    pids = [start(work, dest), start(work, dest)]
    codes = sorted(map(ended, pids))
    same = result(dest) == result(Path(f'{name}-straight'))
    table.add(f'{name}: two at once', f'exit codes {codes}',
              '' if codes == [0, 1] and same else f'codes {codes}, same: {same}')


def against(table: Table) -> None:
    "Two processes that want different things of one folder, at once: it becomes what one of them wanted."
    ways = {'convert': convert, 'convert_small': convert_small}
    assert ended(start(convert_small, Path('convert_small-straight'))) == 0
    codes = sorted(map(ended, [start(work, Path('against')) for work in ways.values()]))
    winners = [name for name in ways if result(Path('against')) == result(Path(f'{name}-straight'))]
    table.add('convert: two sizes at once', f'exit codes {codes}',
              '' if codes == [0, 1] and winners else f'codes {codes}, won: {winners}')


def spoil(photos: list[Path], masks: list[Path]) -> None:
    "Five ways in which a source changes, one face after the other."
    other = photos[-1].read_bytes()
    for i, (photo, mask) in enumerate(zip(photos, masks)):
        if i % 5 == 0: photo.unlink()
        if i % 5 == 1: os.truncate(photo, 100)
        if i % 5 == 2: mask.unlink()
        if i % 5 == 3: os.truncate(mask, 100)
        if i % 5 == 4:
            Path('other').write_bytes(other)
            os.replace('other', photo)
        time.sleep(.002)


def look(dest: Path) -> str:
    "Open a folder that is being written, which only works when it is finished; what is wrong."
    from facemask_seg.packed import Packed
    try: Packed(dest).verify()
    except ValueError as e: return '' if 'was interrupted' in str(e) else str(e)
    except FileNotFoundError as e: return '' if 'not a packed folder' in str(e) else str(e)
    return ''


def changing(table: Table) -> None:
    """Change photos and masks while they are packed:
    each is packed as it was or as it is then, or has a line that names it."""
    from facemask_seg.packed import Packed
    photos, masks = (sorted(Path('many', folder).iterdir(), reverse=True) for folder in ('images', 'labels'))
    pid, straight, wrong, looks = start(convert, Path('changed')), Packed('convert-straight'), [], 0
    for _ in range(60_000):   # a minute for the first line
        if Path('changed/unfinished.jsonl').exists(): break
        time.sleep(.001)
    spoiler = start(lambda _: spoil(photos, masks), Path('many'))
    while not os.waitpid(spoiler, os.WNOHANG)[0]: wrong, looks = wrong + [look(Path('changed'))], looks + 1
    code, found = ended(pid), Packed('changed').verify()
    problems = {p['file'] for p in found.manifest['problems']}
    if code != 0 or len(found) + len(problems) != len(straight):
        wrong.append(f'exit code {code}, {len(found)} + {len(problems)}')
    for i, name in enumerate(found.names):
        j = straight.names.index(name)
        photo_is = any((found.images[i] == straight.images[k]).all() for k in (j, 0))
        if not photo_is or (found.masks[i] != straight.masks[j]).any(): wrong.append(f'{name} differs')
    how = f'{len(found)} faces whole, {len(problems)} named, {looks} looks'
    table.add('convert: a source that changes', how, '; '.join(filter(None, wrong)))


def one_of_two(table: Table) -> None:
    "Kill one of two processes that train together: the other one ends too, says why, and the run can go on."
    words = ['train', 'packed', '--run', 'pair', *TINY, '--batch-size', '4']
    torchrun = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2',
                '-m', 'facemask_seg', '--']
    p = subprocess.Popen([*torchrun, *words, '--epochs', '9999'], env=environment(), text=True,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while p.poll() is None and not Path('pair/resume.safetensors').exists(): time.sleep(.1)
    listed = subprocess.run(['ps', '-o', 'pid=', '--ppid', str(p.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(listed[-1]), signal.SIGKILL)
    try: error = p.communicate(timeout=300)[1]
    except subprocess.TimeoutExpired: return table.add('train by two: one killed', '', 'the other one goes on for ever')
    wrong = [] if 'another process of this training has ended' in error else [error[-1500:]]
    if Path('pair/result.json').exists() or not Path('pair/resume.safetensors').exists():
        wrong.append('not as a stopped run is')
    table.add('train by two: one killed', 'both ended, the first says why', '; '.join(wrong))


def main() -> int:
    "All of it; the exit code."
    seed = int.from_bytes(os.urandom(2), 'big')
    print(f'seed {seed}', flush=True)
    table, draw = Table(), random.Random(seed)
    with workplace() as here:
        pid = os.fork()
        if not pid:
            from facemask_seg.faces import write_faces
            make_material(here)
            write_faces(here/'many', FACES, size=96)
            os._exit(0)
        assert ended(pid) == 0
        for module in 'convert', 'train': import_module(f'facemask_seg.{module}')   # once, for all children
        for work in train, convert:
            torment(table, work.__name__, work, KILLS[work.__name__], draw)
            together(table, work.__name__, work)
        against(table)
        changing(table)
        one_of_two(table)
    return table.close()


if __name__ == '__main__': sys.exit(main())
