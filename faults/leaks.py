"""Long work that uses no more memory at its end than at its beginning, and leaves nothing behind, however it ends.

    python faults/leaks.py [--short]       (on Linux, which tells about a process in /proc)

First trainings whose loading processes begin and end all the time, stopped at moments drawn at random: the first
signal must be heard. Then the commands, stopped by Ctrl-C and by the signal with which a system ends programs: no
process and no temporary or half-written file may be left. Then 2,000 predictions, 2,000 training steps and some whole
trainings in one process: memory, open files and threads are counted at half-time and at the end.

Memory is what belongs to nobody else (`Anonymous` in /proc/self/smaps_rollup), after Python has collected its garbage
and malloc has given back to the system what it holds for later. Without the second step it grows and shrinks by tens
of MiB.
"""
import ctypes, gc, os, random, shutil, signal, subprocess, sys, time, traceback
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

from common import MODEL, TINY, Table, asked_short, environment, kept, make_material, workplace

SHORT = asked_short()
TIMES = 300 if SHORT else 2000
ROOM = 4 * 2**20  # Bytes by which memory may grow; one small network kept by each of 15 trainings would be as much
SIGNALS = 6 if SHORT else 60
COMMAND = [sys.executable, '-c', 'import sys; from facemask_seg.cli import main; sys.exit(main())']


def held() -> dict[str, int]:
    "What this process holds now."
    gc.collect()
    malloc_trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)   # not every Linux has it
    if malloc_trim: malloc_trim(0)
    return {'bytes': kept('self', 'Anonymous'), 'open files': len(os.listdir('/proc/self/fd')),
            'threads': len(os.listdir('/proc/self/task'))}


def again_and_again(table: Table, name: str, work: Callable, times: int) -> None:
    "Count what is held after half of the times, when all caches are full, and at the end."
    for _ in range(times//2): work()
    before = held()
    for _ in range(times - times//2): work()
    after = held()
    more = {k: after[k] - before[k] for k in before}
    wrong = [f'{n} more {k}' for k, n in more.items() if n > (ROOM if k == 'bytes' else 0)]
    table.add(f'{times} times: {name}', f'{more["bytes"]/2**20:+.1f} MiB', '; '.join(wrong))


def in_process(table: Table) -> None:
    "Predictions, steps, trainings."
    import torch
    from facemask_seg.data import FaceDataset, batches
    from facemask_seg.images import IMAGENET
    from facemask_seg.loop import train_one_epoch
    from facemask_seg.losses import cross_entropy_dice
    from facemask_seg.packed import Packed
    from facemask_seg.predict import Segmenter
    from facemask_seg.train import Recipe, fit
    from facemask_seg.unet import TinyUNet
    torch.set_num_threads(1)
    segmenter = Segmenter.load('run', device='cpu')
    again_and_again(table, 'a prediction', lambda: segmenter.predict('photo.png', faces='one'), TIMES)

    data, model = FaceDataset(Packed('packed'), augment='standard'), TinyUNet(4)
    optimizer = torch.optim.AdamW(model.parameters())
    def three_steps():
        train_one_epoch(model, batches(data, 4), cross_entropy_dice, optimizer, stats=IMAGENET, device='cpu',
                        progress=False)
    again_and_again(table, 'three training steps', three_steps, TIMES//3)

    recipe = Recipe(model='tiny_unet', size=32, batch_size=4, epochs=1, precision='fp32')
    def training():
        fit(recipe, 'packed', 'again', 'cpu', workers=1, progress=False, checkpoint_minutes=0)
        shutil.rmtree('again')
    again_and_again(table, 'a whole training with a worker', training, 4 if SHORT else 30)


def session_of(stat: str) -> int: return int(stat.rpartition(')')[2].split()[3])


def processes(session: int) -> list[str]:
    "What still runs of a session, by id; the dead whom nobody has buried do not count."
    found = []
    for path in Path('/proc').glob('[0-9]*/stat'):
        try: text = path.read_text()
        except OSError: continue
        if session_of(text) == session and text.rpartition(')')[2].split()[0] != 'Z': found.append(path.parent.name)
    return found


def wait_for(condition: Callable, seconds: float) -> bool:
    "Whether a condition came true in time."
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition(): return True
        time.sleep(.02)
    return False


def send(pid: int, how: signal.Signals, to_all: bool = False) -> None:
    "As it happens: a terminal sends Ctrl-C to a process and its children, a system asks the process, or all, to end."
    (os.killpg if to_all or how == signal.SIGINT else os.kill)(pid, how)


def said_to(how: signal.Signals, to_all: bool) -> str: return f'{how.name}{" to all" if to_all else ""}'


def ended(p: subprocess.Popen, how: signal.Signals, to_all: bool) -> str:
    "What a process says when it is stopped. Where Python takes an object apart a signal is lost: asked again."
    for patience in 20, 20, 60:
        send(p.pid, how, to_all)
        try: return p.communicate(timeout=patience)[1]
        except subprocess.TimeoutExpired: pass
    os.killpg(p.pid, signal.SIGKILL)
    return f'it did not stop at {how.name}, sent three times\n{p.communicate()[1]}'


def stopped(table: Table, name: str, words: list, begun: Callable, how: signal.Signals, to_all: bool = False) -> None:
    "Start a command, stop it once it has begun, and look for what it leaves."
    shutil.rmtree('out', ignore_errors=True)
    shutil.rmtree('tmp', ignore_errors=True)
    Path('tmp').mkdir()
    env = environment(TMPDIR=str(Path('tmp').resolve()))
    # a shell that put this script into the background has told it to ignore Ctrl-C, and children inherit that
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    p = subprocess.Popen([*COMMAND, *words], start_new_session=True, env=env, text=True, preexec_fn=listen,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if not wait_for(begun, 300): return table.add(name, '', 'it did not begin')
    error = ended(p, how, to_all)
    wrong = [] if p.returncode == 130 else [f'exit code {p.returncode}: {error[-500:]}']
    if not wait_for(lambda: not processes(p.pid), 10): wrong.append(f'still running: {processes(p.pid)}')
    left = [str(f) for f in [*Path('tmp').iterdir(), *Path('out').rglob('.facemask_seg-*')]]
    if left: wrong.append(f'left over: {left}')
    if 'To go on, type: facemask-seg' not in error or 'Traceback' in error: wrong.append(f'said: {error[-500:]}')
    table.add(f'{name}, {said_to(how, to_all)}', 'nothing left', '\n'.join(wrong))


def signals(table: Table) -> None:
    "Three commands, three ways to stop each."
    from PIL import Image
    from facemask_seg.convert import pack_drawn
    pack_drawn('long', 400, size=32, progress=False)
    for folder, source in ('images', 'faces/images/00000.png'), ('labels', 'faces/labels/00000.png'):
        Path('many', folder).mkdir(parents=True)
        resample = Image.Resampling.NEAREST if folder == 'labels' else Image.Resampling.BICUBIC
        with Image.open(source) as im: im.resize((700, 700), resample).save('large.png')
        for i in range(400): os.link('large.png', f'many/{folder}/{i}.png')
        Path('large.png').unlink()
    long = [w if w != '1' else '100000' for w in TINY]
    commands = {
        'train': (['train', 'long', '--run', 'out', '--workers', '2', *long, '--batch-size', '1'],
                  lambda: Path('out/resume.safetensors').exists()),
        'convert': (['convert', 'many', 'out', '--workers', '2'],
                    lambda: Path('out/images.npy.part').exists() and Path('out/images.npy.part').stat().st_size > 9999),
        'predict': (['predict', 'many/images', '--out', 'out', '--workers', '2', *MODEL],
                    lambda: any(Path('out').glob('*_mask.png')))}
    for name, (words, begun) in commands.items():
        for how in signal.SIGINT, signal.SIGTERM: stopped(table, name, words, begun, how)
        for _ in range(1 if SHORT else 10): stopped(table, name, words, begun, signal.SIGTERM, to_all=True)


def endless(here: Path, number: int) -> None:
    """In a child: epochs of three steps, each with a process of its own, until a signal comes.
    The exit code is the command's."""
    import multiprocessing.util, tempfile, torch
    from facemask_seg.train import Recipe, fit
    os.setsid()
    tempfile.tempdir = str(here/f'tmp-{number}')
    os.dup2(os.open(here/f'said-{number}', os.O_CREAT | os.O_WRONLY), 2)
    for how in signal.SIGINT, signal.SIGTERM: signal.signal(how, signal.default_int_handler)
    torch.set_num_threads(1)
    recipe, code = Recipe(model='tiny_unet', size=32, batch_size=4, epochs=100_000, precision='fp32'), 1
    try: fit(recipe, 'packed', f'endless-{number}', 'cpu', workers=1, progress=False)
    except KeyboardInterrupt: code = 130
    except BaseException: traceback.print_exc()
    multiprocessing.util._exit_function()   # what Python does at its end, and a forked child does not
    sys.stderr.flush()
    os._exit(code)


def at_any_moment(table: Table, here: Path, draw: random.Random) -> None:
    "One signal, once. (This process must not have used PyTorch yet, or its children could not.)"
    import_module('facemask_seg.train')   # once, for all children
    for number in range(SIGNALS):
        how, to_all = ((signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGTERM, True))[number % 3]
        (here/f'tmp-{number}').mkdir()
        pid = os.fork()
        if not pid: endless(here, number)
        wait_for(Path(f'endless-{number}/history.csv').exists, 300)
        time.sleep(draw.uniform(0, 1))
        send(pid, how, to_all)
        status: list[int] = []
        def over(): status[:] = os.waitpid(pid, os.WNOHANG); return status[0] == pid
        heard = wait_for(over, 60)
        wrong = [] if heard else [f'{how.name} was not heard']
        if heard and os.waitstatus_to_exitcode(status[1]) != 130:
            wrong.append(f'exit code {os.waitstatus_to_exitcode(status[1])}')
        if not wait_for(lambda: not processes(pid), 10): wrong.append(f'still running: {processes(pid)}')
        if processes(pid): os.killpg(pid, signal.SIGKILL)
        if not heard: os.waitpid(pid, 0)
        left, said = [f.name for f in Path(f'tmp-{number}').iterdir()], Path(f'said-{number}').read_text()
        if left: wrong.append(f'left over: {left}')
        if said: wrong.append(f'said: {said[-500:]}')
        table.add(f'train, loaders begin and end, {said_to(how, to_all)} once', 'heard, nothing left', '\n'.join(wrong))


def main() -> int:
    "All of it; the exit code."
    if not Path('/proc/self/smaps_rollup').exists():
        print('not possible here: no /proc/self/smaps_rollup')
        return 0
    seed = int.from_bytes(os.urandom(2), 'big')
    print(f'seed {seed}', flush=True)
    table = Table()
    with workplace() as here:
        pid = os.fork()
        if not pid:
            make_material(here)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        at_any_moment(table, here, random.Random(seed))
        signals(table)
        in_process(table)
    return table.close()


if __name__ == '__main__': sys.exit(main())
