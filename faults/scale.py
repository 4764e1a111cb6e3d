"""More faces than one packed folder should hold: shards are one folder to whoever reads them, and memory stays flat.

    python faults/scale.py [--short]       (on Linux, which tells about a process in /proc)

First a small training on shards must be, bit for bit, the one on a single folder of the same faces. Then 200,000
drawn faces of 64 px (2,000 in the short form) are packed into ten shards, and a TinyUNet is trained through them
once, beside a process that loads. The most memory of each tenth is printed; after the first two, when everything has
begun, it may grow by ROOM.

Which memory? Photos that are mapped into memory count as a process's own in `top`, although the system drops them as
soon as it needs the room; every reader of a large file looks as if it grew. So what counts is what only memory holds,
of this process and all its children: Pss_Anon and Pss_Shmem in /proc/PID/smaps_rollup. (Of a page that two processes
share, each has half.) And malloc is told to give back at once what is freed. Else it keeps some for later, and how
much goes up and down by tens of MiB. That makes the training a third slower or more, so its speed here says nothing.
"""
import contextlib, os, shutil, sys, threading
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from common import TINY, Table, asked_short, command, contents, kept, workplace

SHORT = asked_short()
FACES, SHARDS, SIZE, BATCH = 2_000 if SHORT else 200_000, 10, 64, 32
# Bytes; photos and masks, if kept, would be 31 MiB in the short form, 3,125 in the long one
ROOM = (12 if SHORT else 24) * 2**20
SPACE = 1.2 * FACES * 4 * SIZE**2     # Bytes on disk

# glibc's malloc reads these when a process starts
GIVE_BACK = {'MALLOC_MMAP_THRESHOLD_': '65536', 'MALLOC_TRIM_THRESHOLD_': '65536', 'MALLOC_ARENA_MAX': '1'}


def family() -> list[str]:
    "This process and its children, by id."
    children = [pid for f in Path('/proc/self/task').glob('*/children') for pid in f.read_text().split()]
    return [str(os.getpid()), *children]


def held() -> int:
    "Bytes that only memory holds, of this process and its children."
    found = 0
    for pid in family():
        with contextlib.suppress(OSError): found += kept(pid, 'Pss_Anon', 'Pss_Shmem')   # a child may just have ended
    return found


class Watch:
    """Looks at the memory often enough for the peaks, in the short form fifty times a second,
    and remembers the most of each tenth."""
    def __init__(self, table: Table, what: str):
        self.table, self.what, self.now, self.tenths, self.over = table, what, 0, [], threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def look(self) -> None:
        while not self.over.wait(.02 if SHORT else .2): self.now = max(self.now, held())

    def tenth(self) -> None:
        "One more tenth is done."
        self.tenths.append(max(self.now, held()))
        self.now = 0
        self.table.add(f'{self.what}: tenth {len(self.tenths)}', f'at most {self.tenths[-1]/2**20:.0f} MiB')

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        if len(self.tenths) < 10: return self.table.add(self.what, '', f'only {len(self.tenths)} tenths were seen')
        more = max(self.tenths[2:]) - max(self.tenths[:2])
        self.table.add(f'{self.what}: growth', f'{more/2**20:+.1f} MiB, allowed are {ROOM/2**20:.0f}',
                       '' if more <= ROOM else 'memory grows')


def the_same(table: Table) -> None:
    "A training on shards, and one on a single folder of the same faces."
    from facemask_seg.convert import pack, pack_drawn
    from facemask_seg.weights import read_tensors
    for name, n in ('a', 12), ('b', 1), ('c', 11): pack_drawn(f'few/{name}', n, size=32, seed=n, progress=False)
    pack('few', 'one', size=32, progress=False)
    told = {}
    for data, workers in ('one', 0), ('few', 1):
        done = [command('train', data, '--run', f'run-{data}', '--workers', workers, *TINY,
                        '--augment', 'standard', '--epochs', 2)]
        done += [command('evaluate', data, '--weights', f'run-{data}', '--split', split, '--json')
                 for split in ('valid', 'test', 'all')]
        wrong = '\n'.join(d.err for d in done if d.code != 0)
        table.add(f'train and evaluate on {data}, {workers} workers', '', wrong)
        if wrong: return
        history = contents(Path(f'run-{data}'))['history.csv']
        told[data] = [d.out for d in done[1:]], history, read_tensors(f'run-{data}/best.safetensors')
    (scores, history, weights), (scores_1, history_1, weights_1) = told.values()
    equal = {'scores': scores == scores_1, 'history': history == history_1,
             'weights': weights.keys() == weights_1.keys() and all((weights[k] == weights_1[k]).all() for k in weights)}
    wrong = [name for name, same in equal.items() if not same]
    table.add('shards and one folder: weights, losses, scores', 'every bit the same', ', '.join(wrong))


def pack_shard(number: int) -> None:
    "One of the shards; a process of its own could make it on another machine."
    from facemask_seg.convert import pack_drawn
    pack_drawn(f'many/{number}', FACES//SHARDS, size=SIZE, seed=number, progress=False)


def pack_many(table: Table) -> None:
    "All shards, two at a time."
    with ProcessPoolExecutor(2, get_context('spawn')) as pool, Watch(table, f'pack {FACES} faces') as watch:
        for _ in pool.map(pack_shard, range(SHARDS)): watch.tenth()


def train_many(table: Table) -> None:
    "One epoch through all; a tenth is over when the loss was asked for often enough."
    import torch
    from facemask_seg.train import STANDARD, Recipe, loss_of, split_for, train_task
    from facemask_seg.packed import Packed
    torch.set_num_threads(1)
    recipe = Recipe(model='tiny_unet', size=SIZE, batch_size=BATCH, epochs=1, augment='flip', precision='fp32')
    packed, steps = Packed('many'), 0
    tenth = -(-len(split_for(recipe, packed)['train']) // BATCH) // 10
    def counted(*args, loss, watch):
        nonlocal steps
        steps += 1
        if steps % tenth == 0 and steps <= 10 * tenth: watch.tenth()
        return loss(*args)
    with Watch(table, f'train through {len(packed)} faces') as watch:
        task = STANDARD._replace(loss=lambda recipe: partial(counted, loss=loss_of(recipe), watch=watch))
        result = train_task(task, recipe, 'many', 'run-many', 'cpu', workers=1, progress=False)
    table.add('train through all: the end', f'{result["data"]["split"]["train"]} faces seen')


def main() -> int:
    "All of it; the exit code."
    if not Path('/proc/self/smaps_rollup').exists():
        print('not possible here: no /proc/self/smaps_rollup')
        return 0
    if not GIVE_BACK.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | GIVE_BACK)
    table = Table()
    with workplace() as here:
        if shutil.disk_usage(here).free < SPACE:
            sys.exit(f'{here} has less than {SPACE/2**30:.1f} GiB of free space; TMPDIR may name another folder')
        the_same(table)
        pack_many(table)
        train_many(table)
    return table.close()


if __name__ == '__main__': sys.exit(main())
