"""What only a GPU can prove: it computes what a CPU does, never waits without need, and loses nothing when killed.

    python faults/gpu.py [--only compiled,killed,...]       (needs an NVIDIA GPU; without one it says so)

About a minute. It draws its own faces. Losses, augmented batches and masks are compared with a CPU's; half precision,
an overflow and `torch.compile` are tried; PyTorch raises where Python would wait for the GPU between two looks at the
loss; a training is killed inside an epoch; and a batch is too large for the memory. What depends on the machine and
may be either way (whether every bit is the same after a kill, how many processes one GPU takes) is told, and is no
fault.
"""
import contextlib, io, json, os, signal, subprocess, sys, time, traceback, warnings
from collections.abc import Iterable, Iterator
from copy import deepcopy
from pathlib import Path

# cuBLAS reads it when it begins; needed to be deterministic
os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
from common import Table, command, environment, workplace  # noqa: E402

HERE = Path(__file__).resolve()
SIZE, BATCH = 64, 16
FACES = 224                                             # 12 batches to train on, one to validate, one to test
SPLIT = {'valid': BATCH, 'test': BATCH}
FLAGS = ['--size', SIZE, '--batch-size', BATCH, '--valid', BATCH, '--test', BATCH, '--device', 'cuda']
TINY = ['--model', 'tiny_unet', *FLAGS, '--epochs', 1]
Lines = Iterator[tuple[str, ...]]                       # What was checked, what came out, and a problem if there is one


def recipe(**choices):
    "A recipe for the drawn faces."
    from facemask_seg.train import Recipe
    usual = dict(model='tiny_unet', size=SIZE, batch_size=BATCH, epochs=3, precision='fp32', augment='flip')
    return Recipe(**(usual | SPLIT | choices))


def faces(device: str, augment: str = 'flip', workers: int = 0, epoch: int = 0):
    "Batches of the drawn faces for a device."
    from facemask_seg.data import FaceDataset, batches
    from facemask_seg.packed import Packed
    data = FaceDataset(Packed('faces'), range(12 * BATCH), augment=augment)
    return batches(data, BATCH, shuffle=True, epoch=epoch, workers=workers, device=device)


class Learner:
    "A network of a recipe with its optimizer, on a device."
    def __init__(self, device: str, wanted):
        from facemask_seg.train import make_model, make_optimizer
        self.device, self.recipe, self.model = device, wanted, make_model(wanted, device)
        self.optimizer = make_optimizer(wanted, self.model)

    def train(self, batches: Iterable, loss=None, network=None, **options) -> float:
        "Train on some batches; their mean loss."
        from facemask_seg.images import IMAGENET
        from facemask_seg.loop import train_one_epoch
        from facemask_seg.losses import cross_entropy_dice
        options = {'precision': self.recipe.precision} | options
        return train_one_epoch(network or self.model, batches, loss or cross_entropy_dice, self.optimizer,
                               stats=IMAGENET, device=self.device, progress=False, **options)

    def weights(self) -> dict:
        "Copies of its weights."
        return {k: p.detach().clone() for k, p in self.model.named_parameters()}


@contextlib.contextmanager
def exact() -> Iterator[None]:
    "Multiply 32-bit numbers with all of their bits, which PyTorch leaves out in convolutions on a GPU (TF32)."
    import torch
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try: yield
    finally: torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def apart(a: Iterable[float], b: Iterable[float]) -> float:
    "The largest difference between numbers, as a share of the second."
    return max(abs(x - y) / abs(y) for x, y in zip(a, b, strict=True))


def same(a: dict, b: dict) -> bool:
    "Whether two sets of tensors are equal, bit by bit."
    return a.keys() == b.keys() and all((a[k].cpu() == b[k].cpu()).all() for k in a)


def unless(good: bool, problem: str) -> str:
    "A problem, unless all is well."
    return '' if good else problem


def agree() -> Lines:
    "(a) Batches, and the losses of the first steps, are a CPU's."
    for augment in 'flip', 'standard':
        ours, theirs = list(faces('cuda', augment)), list(faces('cpu', augment))
        off = far = wrong = pixels = 0
        for (photos, masks), (wanted, truth) in zip(ours, theirs, strict=True):
            gap = (photos.cpu().int() - wanted.int()).abs()
            off, far = off + (gap > 0).sum().item(), far + (gap > 1).sum().item()
            wrong, pixels = wrong + (masks.cpu() != truth).sum().item(), pixels + truth.numel()
        on_device = all(p.is_cuda and m.is_cuda and p.dtype == m.dtype for p, m in ours)
        good = (on_device and far < 1e-3 * 3 * pixels and wrong < 1e-3 * pixels
                and (augment != 'flip' or off == wrong == 0))
        yield (f'batches, augment={augment}: those of a CPU',
               f'{off/pixels/3:.2%} of the numbers differ, {far/pixels/3:.4%} by more than 1; masks {wrong/pixels:.4%}',
               unless(good, f'on the device: {on_device}; {off}, {far}, {wrong} of {pixels}'))
        with exact():
            losses = {d: [] for d in ('cuda', 'cpu')}
            for device, found in losses.items():
                learner, data = Learner(device, recipe(augment=augment)), list(faces(device, augment))
                found += [learner.train([data[i % len(data)]]) for i in range(20)]
        gap = apart(losses['cuda'], losses['cpu'])
        yield f'20 losses of a TinyUNet, augment={augment}', f'at most {gap:.1e} apart', unless(gap < 1e-3, str(losses))
    with exact():
        data, large = list(faces('cpu'))[:5], recipe(model='resnet34_unet')
        losses = {device: [learner.train([b]) for b in data]
                  for device in ('cuda', 'cpu') for learner in [Learner(device, large)]}
    first, gap = apart(losses['cuda'][:1], losses['cpu'][:1]), apart(losses['cuda'], losses['cpu'])
    yield ('5 losses of a ResNet34-UNet', f'the first {first:.1e}, all at most {gap:.1e} apart',
           unless(first < 1e-4 and gap < 2e-2, str(losses)))


def half() -> Lines:
    "(b) Trainings in half of the bits, and a gradient that is too large for them."
    import torch
    from facemask_seg.losses import cross_entropy_dice
    from facemask_seg.train import fit
    for precision in 'bf16', 'fp16':
        wanted = recipe(model='resnet34_unet', epochs=2, precision=precision)
        result = fit(wanted, 'faces', f'half-{precision}', 'cuda', progress=False)
        losses = [row['train_loss'] for row in result['history']]
        good = losses[-1] < .9 * losses[0] and result['precision'] == precision and result['device'].startswith('cuda')
        yield (f'a training in {precision}', f'loss {losses[0]:.3f} to {losses[-1]:.3f}',
               unless(good, str(result['history'])))
    learner, data = Learner('cuda', recipe(precision='fp16')), list(faces('cuda'))
    large = lambda *args: 1e6 * cross_entropy_dice(*args)
    before = learner.weights()
    learner.train(data[:1], large)
    skipped = same(before, learner.weights())
    learner.train(data * 2, large)    # the factor is halved at each overflow
    after = learner.weights()
    moved, finite = not same(before, after), all(p.isfinite().all() for p in after.values())
    yield ('fp16: a gradient overflows', 'that step is skipped, later ones are made',
           unless(skipped and moved and finite, f'{skipped} {moved} {finite}'))
    torch.cuda.empty_cache()


def compiled() -> Lines:
    "(c) torch.compile: it trains, and nobody sees it in the weights."
    from facemask_seg.predict import Segmenter
    from facemask_seg.train import fit
    from facemask_seg.weights import read_tensors
    learner, plain, data = Learner('cuda', recipe()), Learner('cuda', recipe()), list(faces('cuda'))
    learner.model.compile(fullgraph=True)
    with exact(): gap = apart([learner.train([b]) for b in data], [plain.train([b]) for b in data])
    yield ('compiled, one graph without breaks: losses', f'at most {gap:.1e} from those of an ordinary network',
           unless(gap < 5e-3, ''))
    began = time.perf_counter()
    result = fit(recipe(epochs=2, precision='bf16'), 'faces', 'compiled', 'cuda', progress=False, compiled=True)
    losses, names = [row['train_loss'] for row in result['history']], read_tensors('compiled')
    odd = [k for k in names if '_orig_mod' in k]
    yield ('a training with compiled=True',
           f'loss {losses[0]:.3f} to {losses[-1]:.3f}, {time.perf_counter()-began:.0f} s with compiling',
           unless(losses[-1] < losses[0] and names.keys() == learner.model.state_dict().keys(), f'{losses} {odd}'))
    mask = Segmenter.load('compiled', device='cuda').predict('photo.png', faces='one').mask
    yield 'its weights in an ordinary network', f'a mask of {mask.shape[1]}x{mask.shape[0]}'


def waiting() -> Lines:
    "(d) Between two looks Python never waits for the GPU: PyTorch raises an error where it would."
    import torch
    from facemask_seg.train import averager, loss_of
    def watched(batches):
        torch.cuda.set_sync_debug_mode('error')
        try: yield from batches
        finally: torch.cuda.set_sync_debug_mode('default')
    heard, number = False, torch.zeros(1, device='cuda')
    try:
        for _ in watched([1]): number.item()
    except RuntimeError as e: heard = 'synchroniz' in str(e)
    torch.cuda.set_sync_debug_mode('default')
    yield 'the alarm: .item() is heard', '', unless(heard, 'PyTorch did not raise')
    for precision, augment, workers in (('fp32', 'standard', 0), ('bf16', 'flip', 0), ('fp16', 'standard', 0),
                                        ('bf16', 'none', 0), ('bf16', 'standard', 2)):
        learner = Learner('cuda', recipe(model='resnet34_unet', precision=precision, class_weights=(1, 2, 2, 2)))
        loss = loss_of(learner.recipe)
        learner.train(list(faces('cuda', augment))[:2], loss)     # constants reach the device once
        error = ''
        move = averager(deepcopy(learner.model), learner.model)
        try: learner.train(watched(faces('cuda', augment, workers)), loss, after_step=lambda log: move(.9))
        except RuntimeError: error = traceback.format_exc()[-1500:]
        finally: torch.cuda.set_sync_debug_mode('default')
        yield f'12 steps, {precision}, augment={augment}, workers={workers}', 'not one wait', error


@contextlib.contextmanager
def deterministic(found: set) -> Iterator[None]:
    "Ask PyTorch for operators that give the same bits each time; the names of those that cannot go into `found`."
    import torch
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter('always')
            yield
        found |= {str(w.message).split(' does not')[0] for w in told if 'deterministic' in str(w.message)}
    finally: torch.use_deterministic_algorithms(False)


LONG = {'epochs': 3, 'augment': 'standard', 'precision': 'bf16'}


def to_be_killed() -> None:
    "What the process does that is killed: a training with a checkpoint after every step."
    from facemask_seg.train import fit
    with deterministic(set()): fit(recipe(**LONG), 'faces', 'killed', 'cuda', progress=False, checkpoint_minutes=0)


def kept(run: str) -> tuple[int, int]:
    "The epochs and the steps of the next one that a checkpoint holds."
    from facemask_seg.weights import read_text
    try: found = json.loads(read_text(f'{run}/resume.safetensors'))
    except (OSError, ValueError): return 0, 0
    return len(found['history']), found['losses'][2]


def killed() -> Lines:
    "(e) SIGKILL inside an epoch; started again, it ends as if nothing had happened."
    from facemask_seg.train import fit
    from facemask_seg.weights import read_tensors
    p = subprocess.Popen([sys.executable, HERE, '--to-be-killed'])
    end = time.monotonic() + 120
    while p.poll() is None and time.monotonic() < end:
        epochs, steps = kept('killed')
        if epochs == 1 and 3 <= steps <= 8: break
        time.sleep(.002)
    p.send_signal(signal.SIGKILL)
    p.wait()
    epochs, steps = kept('killed')
    yield ('a training is killed', f'on disk: epoch {epochs}, step {steps}',
           unless(epochs == 1 and steps > 0, f'exit code {p.returncode}'))
    found: set = set()
    with deterministic(found), contextlib.redirect_stdout(io.StringIO()) as said:
        again = fit(recipe(**LONG), 'faces', 'killed', 'cuda', checkpoint_minutes=0)
    went_on = f'going on after step {steps} of epoch 2' in said.getvalue()
    yield ('started again', f'{len(again["history"])} epochs',
           unless(went_on and len(again['history']) == 3, said.getvalue()))
    with deterministic(found): straight = fit(recipe(**LONG), 'faces', 'straight', 'cuda', progress=False)
    weights = same(read_tensors('killed'), read_tensors('straight'))
    rows = [([r['train_loss'] for r in a['history']]) for a in (again, straight)]
    gap = apart(*rows)
    yield ('as an undisturbed one?',
           f'weights {"every bit the same" if weights else "not the same bits"}; '
           f'losses {"the same" if gap == 0 else f"{gap:.1e} apart"}; '
           f'not deterministic: {", ".join(sorted(found)) or "nothing"}', unless(gap < .05, str(rows)))
    ways, found = [], set()
    with deterministic(found):
        for _ in range(2):
            learner = Learner('cuda', recipe(model='resnet34_unet', precision='bf16'))
            learner.train(faces('cuda', 'standard'))
            ways.append(learner.weights())
    yield ('the same training twice, ResNet34-UNet',
           f'{"every bit the same" if same(*ways) else "not the same bits"}; '
           f'not deterministic: {", ".join(sorted(found)) or "nothing"}')


def moved() -> Lines:
    "(g) A training begun on one device goes on, inside an epoch, on the other."
    from facemask_seg.train import STANDARD, fit, loss_of, train_task
    def interrupted(steps: int):
        "A loss that ends the training."
        def loss(*args):
            nonlocal steps
            steps -= 1
            if steps < 0: raise KeyboardInterrupt
            return loss_of(recipe())(*args)
        return lambda _: loss
    for first, then in ('cuda', 'cpu'), ('cpu', 'cuda'):
        run = f'from-{first}'
        with exact():
            task = STANDARD._replace(loss=interrupted(16))
            try: train_task(task, recipe(), 'faces', run, first, progress=False, checkpoint_minutes=0)
            except KeyboardInterrupt: pass
            where = kept(run)
            result = fit(recipe(), 'faces', run, then, progress=False)
            straight = fit(recipe(), 'faces', f'{run}-straight', then, progress=False)
        gap = apart(*[[r['train_loss'] for r in a['history']] for a in (result, straight)])
        yield (f'begun on {first}, ended on {then}', f'at epoch {where[0]}, step {where[1]}; losses {gap:.1e} apart',
               unless(where == (1, 4) and gap < 2e-2, f'{where} {result["history"]} {straight["history"]}'))


def predicted() -> Lines:
    "(h) Masks are a CPU's, with the weights that come with the package."
    import numpy as np
    import facemask_seg
    from facemask_seg.predict import Segmenter
    from facemask_seg.weights import shipped_weights
    try: shipped_weights()
    except FileNotFoundError: return (yield "masks of the package's model", 'left out: this copy comes without it')
    photos = [next(Path(facemask_seg.__file__).parent.rglob('astronaut.jpg')), 'photo.png']
    on_cpu, on_gpu = (Segmenter.load(device=d) for d in ('cpu', 'cuda'))
    for tta in False, True:
        wanted = [p.mask for p in on_cpu.predict(photos, faces='one', tta=tta)]
        with exact(): found = [p.mask for p in on_gpu.predict(photos, faces='one', tta=tta)]
        quick = [p.mask for p in on_gpu.predict(photos, faces='one', tta=tta)]
        share, as_used = (min((a == b).mean() for a, b in zip(masks, wanted, strict=True)) for masks in (found, quick))
        yield (f"masks of the package's model, tta={tta}", f'{share:.4%} of the pixels equal, {as_used:.4%} with TF32',
               unless(share > .999 and as_used > .995 and max(np.max(m) for m in found) > 0, ''))
    done = command('predict', photos[0], '--out', 'out', '--device', 'cuda', '--faces', 'one')
    yield ('facemask-seg predict --device cuda', '',
           unless(done.code == 0 and Path('out/astronaut_mask.png').exists(), f'{done.code} {done.err}'))
    done = command('evaluate', 'faces', '--device', 'cuda', '--split', 'all')
    yield 'facemask-seg evaluate --device cuda', '', unless(done.code == 0, f'{done.code} {done.err}')


def too_large() -> Lines:
    """(i) A batch that does not fit: one line, exit code 2.
    (The process is given little memory, so that it does not take long.)"""
    import torch
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(.02)
    words = ['train', 'faces', '--run', 'large', *FLAGS, '--size', 256, '--batch-size', 192]
    try: done = command(*words, '--precision', 'fp32', '--epochs', 1, limit=120)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.)
        torch.cuda.empty_cache()
    last = done.err.strip().splitlines()[-1] if done.err.strip() else ''
    good = done.code == 2 and 'too little memory for batches of 192' in last and 'Traceback' not in done.err
    yield ('too little memory: one line, exit code 2', last.removeprefix('facemask-seg: '),
           unless(good, f'{done.code} {done.err}'))
    done = command('train', 'faces', '--run', 'small', *TINY)
    yield 'the next training in the same process', '', unless(done.code == 0, done.err)


def loaded() -> Lines:
    "(j) Processes that load: the same batches, from pinned memory, and nobody left."
    import torch
    children = lambda: {pid for f in Path('/proc/self/task').glob('*/children') for pid in f.read_text().split()}
    before = children()
    for augment in 'none', 'standard':
        alone, helped = list(faces('cuda', augment)), list(faces('cuda', augment, workers=2))
        equal = all(torch.equal(a, b) for x, y in zip(alone, helped, strict=True) for a, b in zip(x, y, strict=True))
        right = all(t.is_cuda if augment == 'standard' else t.is_pinned() for pair in helped for t in pair)
        yield (f'augment={augment}, two processes: the same batches', '',
               unless(equal and right, f'equal {equal}, where they should be {right}'))
    for _ in faces('cuda', 'standard', workers=2): break
    time.sleep(1)
    left = children() - before
    yield 'no process left', '', unless(not left, str(left))


def flat() -> Lines:
    "(k) The device's memory after 140 and after 300 steps."
    import torch
    learner, held = Learner('cuda', recipe(model='resnet34_unet', precision='bf16')), {}
    def look(log):
        if log.steps in (140, 300) and not log.waiting:
            held[log.steps] = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    def many():
        for epoch in range(25): yield from faces('cuda', 'standard', epoch=epoch)
    learner.train(many(), after_step=look)
    (used, taken), (used_later, taken_later) = held[140], held[300]
    yield ('300 steps', f'{used_later/2**20:.0f} MiB in use, {used_later-used:+} bytes; '
           f'{taken_later/2**20:.0f} MiB taken, {taken_later-taken:+}',
           unless(used_later - used <= 2**20 and taken_later - taken <= 2**25, ''))


def alone_by_nccl() -> Lines:
    "(f) NCCL with one process, and gradients that go through it."
    import torch
    from torch import distributed as dist
    from torch.nn.parallel import DistributedDataParallel
    from facemask_seg.loop import team
    dist.init_process_group('nccl', init_method=f'file://{Path("meeting").resolve()}', rank=0, world_size=1)
    try:
        one, plain, data = Learner('cuda', recipe()), Learner('cuda', recipe()), list(faces('cuda'))
        shared = DistributedDataParallel(one.model)
        with exact(): gap = apart([one.train([b], network=shared) for b in data], [plain.train([b]) for b in data])
        sums = torch.tensor([1., 2.], dtype=torch.float64, device='cuda')
        dist.all_reduce(sums)
        dist.broadcast(sums, 0)
        good = gap < 1e-3 and sums.tolist() == [1, 2] and team() == (0, 1)
    finally: dist.destroy_process_group()
    yield 'NCCL, one process: losses', f'at most {gap:.1e} from those without it', unless(good, f'{gap} {sums}')


TORCHRUN = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '-m', '--nproc-per-node']


def begun(*words: object) -> subprocess.Popen:
    "A command that runs beside this process."
    return subprocess.Popen([str(w) for w in words], env=environment(), text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)


def teams(one: subprocess.Popen, two: subprocess.Popen) -> Lines:
    "(f) torchrun with one process, and with more processes than GPUs."
    import torch
    out = one.communicate(timeout=200)[0]
    yield 'torchrun, one process', '', unless(one.returncode == 0 and 'everything is in team-1' in out, out[-2000:])
    out = two.communicate(timeout=200)[0]
    told = [line for line in out.splitlines() if line.startswith('facemask-seg: error')]
    gpus = torch.cuda.device_count()
    if gpus > 1: good = two.returncode == 0
    else: good = two.returncode != 0 and any('more processes than GPUs' in line for line in told)
    yield (f'torchrun, two processes, {gpus} GPU{"s"*(gpus > 1)}',
           '; '.join(dict.fromkeys(told)) or f'exit code {two.returncode}', unless(good, out[-3000:]))


def beside(table: Table, other: subprocess.Popen) -> None:
    "The lines of a check that another process made."
    out = other.communicate(timeout=300)[0]
    lines = [line for line in out.splitlines() if not line.endswith((' s', ' s)')) and '(' not in line[:1]]
    good, wrong = (sum(line.startswith(word) for line in lines) for word in ('ok ', 'WRONG '))
    print('\n'.join(lines[1:]), flush=True)
    table.good, table.wrong = table.good + good, table.wrong + wrong
    if other.returncode != bool(wrong) or not good + wrong: table.add('a check beside this one', '', out[-3000:])


CHECKS = {f.__name__: f for f in (agree, loaded, half, waiting, killed, moved, predicted, flat, too_large,
                                  alone_by_nccl, compiled)}


def note(table: Table, name: str, lines: Lines) -> None:
    "The lines of a check in the table; an exception is a line too."
    try:
        for line in lines: table.add(*line)
    except Exception: table.add(name, '', traceback.format_exc()[-3000:])


def main() -> int:
    "All of it; the exit code."
    import torch
    if not torch.cuda.is_available():
        print('not possible here: no NVIDIA GPU that PyTorch can use')
        return 0
    wanted = sys.argv[sys.argv.index('--only') + 1].split(',') if '--only' in sys.argv else [*CHECKS, 'teams']
    torch.set_num_threads(min(8, os.cpu_count() or 1))
    if '--to-be-killed' in sys.argv: return to_be_killed() or 0
    print(f'{torch.cuda.get_device_name()}, torch {torch.__version__}', flush=True)
    table = Table()
    with workplace():
        from facemask_seg.convert import pack_drawn
        from facemask_seg.faces import draw_face
        from PIL import Image
        pack_drawn('faces', FACES, size=SIZE, progress=False)
        Image.fromarray(draw_face(3, 256, None)[0]).save('photo.png')
        pair = [begun(*TORCHRUN, n, 'facemask_seg', '--', 'train', 'faces', '--run', f'team-{n}', *TINY)
                for n in (1, 2)] if 'teams' in wanted else []
        # compilers take long
        compiling = begun(sys.executable, HERE, '--only', 'compiled') if 'compiled' in wanted[:-1] else None
        for name, check in CHECKS.items():
            if name in wanted and not (compiling and name == 'compiled'):
                began = time.perf_counter()
                note(table, name, check())
                print(f'{"":6}({name}: {time.perf_counter()-began:.0f} s)', flush=True)
        if pair: note(table, 'teams', teams(*pair))
        if compiling: beside(table, compiling)
    print(f'{table.good} passed, {table.wrong} failed, {time.time()-table.began:.0f} s')
    return bool(table.wrong)


if __name__ == '__main__': sys.exit(main())
