"""Long work that uses no more memory at its end than at its beginning, and leaves nothing behind, however it ends.

    python faults/leaks.py [--short]       (on Linux, which tells about a process in /proc)

First 2,000 predictions, 2,000 training steps and some whole trainings in one process: memory, open files and threads are
counted at half-time and at the end. Then the commands, stopped by Ctrl-C and by the signal with which a system ends
programs: no process and no temporary or half-written file may be left.
"""
import gc, os, shutil, signal, subprocess, sys, time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from common import MODEL, TINY, Table, make_material, workplace

SHORT = '--short' in sys.argv
TIMES = 300 if SHORT else 2000
ROOM = 8 * 2**20  # Bytes by which memory may grow: the allocator's own, a tenth of a photo each 2,000 would be more
COMMAND = [sys.executable, '-c', 'import sys; from facemask_seg.cli import main; sys.exit(main())']


def held() -> dict[str, int]:
    "What this process holds now."
    gc.collect()
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return {'bytes': pages*os.sysconf('SC_PAGE_SIZE'), 'open files': len(os.listdir('/proc/self/fd')),
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


def in_process(table: Table, here: Path) -> None:
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
        train_one_epoch(model, batches(data, 4), cross_entropy_dice, optimizer, stats=IMAGENET, device='cpu', progress=False)
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


def ended(p: subprocess.Popen, how: signal.Signals) -> str:
    "What a process says when it is stopped. A signal that comes while an object is taken apart is lost: asked again."
    for patience in 5, 5, 5, 10, 20, 60:
        p.send_signal(how)
        try: return p.communicate(timeout=patience)[1]
        except subprocess.TimeoutExpired: pass
    os.killpg(p.pid, signal.SIGKILL)
    return f'it did not stop at {how.name}, sent six times\n{p.communicate()[1]}'


def stopped(table: Table, name: str, words: list, begun: Callable, how: signal.Signals) -> None:
    "Start a command, stop it once it has begun, and look for what it leaves."
    shutil.rmtree('out', ignore_errors=True)
    shutil.rmtree('tmp', ignore_errors=True)
    Path('tmp').mkdir()
    env = os.environ | {'TMPDIR': str(Path('tmp').resolve()), 'PYTHONPATH': os.pathsep.join(sys.path[:2])}
    # a shell that put this script into the background has told it to ignore Ctrl-C, and children inherit that
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    p = subprocess.Popen([*COMMAND, *words], start_new_session=True, env=env, text=True, preexec_fn=listen,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if not wait_for(begun, 300): return table.add(name, '', 'it did not begin')
    time.sleep(.5)   # into the next epoch: while a DataLoader begins or ends, Python and PyTorch may lose a signal or a folder
    error = ended(p, how)
    wrong = [] if p.returncode == 130 else [f'exit code {p.returncode}: {error[-500:]}']
    if not wait_for(lambda: not processes(p.pid), 10): wrong.append(f'still running: {processes(p.pid)}')
    left = [str(f) for f in [*Path('tmp').iterdir(), *Path('out').rglob('.facemask_seg-*')]]
    if left: wrong.append(f'left over: {left}')
    # a signal in the middle of a DataLoader's making leaves PyTorch half an object, whose end Python only notes
    tracebacks = error.count('Traceback') - error.count('Exception ignored in')
    if 'To go on, type: facemask-seg' not in error or tracebacks: wrong.append(f'said: {error[-500:]}')
    table.add(f'{name}, {how.name}', 'nothing left', '\n'.join(wrong))


def signals(table: Table) -> None:
    "Three commands, two ways to stop each."
    from PIL import Image
    from facemask_seg.convert import pack_drawn
    pack_drawn('long', 400, size=32, progress=False)
    for folder, source in ('images', 'faces/images/00000.png'), ('labels', 'faces/labels/00000.png'):
        Path('many', folder).mkdir(parents=True)
        resample = Image.Resampling.NEAREST if folder == 'labels' else Image.Resampling.BICUBIC
        with Image.open(source) as im: im.resize((700, 700), resample).save('large.png')
        for i in range(400): os.link('large.png', f'many/{folder}/{i}.png')
        Path('large.png').unlink()
    workers = '0' if SHORT else '2'   # PyTorch's own processes may say EOFError when their parent ends: not for a test that must pass
    long = [w if w != '1' else '100000' for w in TINY]
    commands = {
        'train': (['train', 'long', '--run', 'out', '--workers', workers, *long, '--batch-size', '1'], lambda: Path('out/resume.safetensors').exists()),
        'convert': (['convert', 'many', 'out', '--workers', '2'], lambda: Path('out/images.npy.part').exists()
                    and Path('out/images.npy.part').stat().st_size > 9999),
        'predict': (['predict', 'many/images', '--out', 'out', '--workers', '2', *MODEL], lambda: any(Path('out').glob('*_mask.png')))}
    for name, (words, begun) in commands.items():
        for how in signal.SIGINT, signal.SIGTERM: stopped(table, name, words, begun, how)


def main() -> int:
    "All of it; the exit code."
    if not Path('/proc/self/statm').exists():
        print('not possible here: no /proc')
        return 0
    table = Table()
    with workplace() as here:
        make_material(here)
        in_process(table, here)
        signals(table)
    return table.close()


if __name__ == '__main__': sys.exit(main())
