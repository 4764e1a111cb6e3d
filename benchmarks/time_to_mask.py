"""Time to a mask that is as good: seconds of training, ours and the peer's, and what the masks are worth on new photos.

    python benchmarks/time_to_mask.py PACKED [--device cuda] [--seeds 0 1 2]
        [--first-size 64 --first-epochs 3 --epochs 6 --batch-size 16 ...]

The peer is segmentation_models_pytorch's Unet with a ResNet34, trained by the loop below, as its users write it:
cross-entropy and Dice, mirrored photos, AdamW with one cycle, batches of 16, two processes that load. Ours is the
package's own trainer, first on small photos (from a folder packed at that size; `start` goes on from there), then on
those of the folder; the flags choose how. Both start from random weights, see the same photos, use the same precision
and the same layout in memory (channels last), are scored on the validation photos after every epoch, keep the best
epoch, and are warm before the clock starts. The clock of 'training' runs while photos are trained on; 'everything'
adds scoring and writing. Without PACKED a few drawn faces are used, which shows that it runs and measures nothing.
"""
import time
from pathlib import Path

import numpy as np

from common import claim, flags, on, report, scratch, where

PEER = dict(batch_size=16, epochs=12, lr=1e-3, workers=2)
FIRST_SIZE, FIRST_EPOCHS, FIRST_BATCH, FIRST_LR = 64, 3, 32, 2e-3    # ours, on small photos
EPOCHS, BATCH, LR, WARMUP, AVERAGE, AUGMENT = 6, 16, 1e-3, .15, 0., 'flip'
TIMES, SHARE = .6, .98     # promised: of the peer's time; of its mIoU (less is what seeds do)
GOOD, SOON = .7, 180       # promised, too: this mIoU on validation photos after so many seconds of training on a CPU


def arguments():
    "What the command line says."
    parser = flags(__doc__, device=True)
    parser.add_argument('packed', nargs='?', type=Path,
                        help='a packed folder; without it drawn faces, and nothing is stored')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0],
                        help='one training of each for each (default: %(default)s)')
    parser.add_argument('--precision', default='auto',
                        help='of both: bf16, fp16 or fp32 (default: what the device does well)')
    parser.add_argument('--no-peer', action='store_true', help='ours alone, to choose how; nothing is stored')
    for name, value, what in (
            ('first-size', FIRST_SIZE, 'side of the small photos'),
            ('first-epochs', FIRST_EPOCHS, 'epochs on them; 0: none'),
            ('first-batch-size', FIRST_BATCH, 'photos in a batch of them'),
            ('first-lr', FIRST_LR, 'highest learning rate on them'),
            ('epochs', EPOCHS, 'epochs on the photos of the folder'),
            ('batch-size', BATCH, 'photos in a batch'),
            ('lr', LR, 'highest learning rate'),
            ('warmup', WARMUP, 'share of the steps that go up, in both'),
            ('average', AVERAGE, 'of the weights, in both'),
            ('augment', AUGMENT, 'none, flip or standard'),
            ('workers', 0, 'processes that load'),
            ('peer-epochs', PEER['epochs'], "the peer's epochs"),
            ('peer-batch-size', PEER['batch_size'], "the peer's batch"),
            ('peer-workers', PEER['workers'], "the peer's processes that load")):
        parser.add_argument(f'--{name}', type=type(value), default=value, help=f'{what} (default: %(default)s)')
    parser.add_argument('--compile', action='store_true', help='ours with torch.compile; compiling is on the clock')
    return parser.parse_args()


class Photos:
    "The peer's data: a photo as normalised floats and a mask; every other one mirrored, its eyes too."
    mean, std = (np.array(v, np.float32)[:, None, None] for v in ((.485, .456, .406), (.229, .224, .225)))

    def __init__(self, packed, indices):
        self.packed, self.indices, self.swap = packed, indices, packed.scheme.flip_lookup()

    def __len__(self): return len(self.indices)

    def __getitem__(self, i):
        import torch
        photo, mask = self.packed.images[self.indices[i]], self.packed.masks[self.indices[i]]
        if torch.rand(()) < .5: photo, mask = photo[:, ::-1], self.swap[mask[:, ::-1]]
        x = (photo.transpose(2, 0, 1).astype(np.float32) / 255 - self.mean) / self.std
        return torch.from_numpy(x), torch.from_numpy(mask.astype(np.int64))


def scored(args, packed, indices, model, precision: str) -> dict:
    "The metrics of a network on some photos."
    from facemask_seg.data import FaceDataset, batches
    from facemask_seg.images import IMAGENET
    from facemask_seg.loop import evaluate
    loader = batches(FaceDataset(packed, indices), 16, device=args.device)
    return evaluate(model, loader, packed.scheme, stats=IMAGENET, device=args.device, precision=precision,
                    progress=False)


class Peer:
    "The peer's network and what trains it."
    def __init__(self, args, packed, n: int, seed: int):
        import segmentation_models_pytorch as smp
        import torch
        torch.manual_seed(seed)
        self.args, self.steps = args, args.peer_epochs * -(-n // args.peer_batch_size)
        model = smp.Unet('resnet34', encoder_weights=None, classes=packed.scheme.n_classes)
        self.model = model.to(args.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=PEER['lr'])
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, PEER['lr'], total_steps=self.steps)
        self.dice = smp.losses.DiceLoss('multiclass')

    def train(self, loader) -> None:
        "An epoch."
        import torch
        from facemask_seg.loop import autocast
        self.model.train()
        for photos, masks in loader:
            photos = photos.to(self.args.device, non_blocking=True, memory_format=torch.channels_last)
            masks = masks.to(self.args.device, non_blocking=True)
            with autocast(self.args.precision, self.args.device): logits = self.model(photos).float()
            loss = torch.nn.functional.cross_entropy(logits, masks) + self.dice(logits, masks)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.schedule.step()


def peer(args, packed, splits: dict, seed: int) -> dict:
    "Train the peer; its times and scores."
    from torch.utils.data import DataLoader
    learner, curve, best, training = Peer(args, packed, len(splits['train']), seed), [], -1., 0.
    began = time.perf_counter()
    loader = DataLoader(Photos(packed, splits['train']), args.peer_batch_size, shuffle=True,
                        num_workers=args.peer_workers, pin_memory=args.device != 'cpu',
                        persistent_workers=args.peer_workers > 0,
                        drop_last=len(splits['train']) % args.peer_batch_size == 1)
    epoch, kept = on(args.device, lambda: learner.train(loader)), {}
    for _ in range(args.peer_epochs):
        start = time.perf_counter()
        epoch()
        training += time.perf_counter() - start
        miou = scored(args, packed, splits['valid'], learner.model, args.precision)['miou'] or 0.
        curve.append((training, miou))
        if miou > best: best, kept = miou, {k: t.clone() for k, t in learner.model.state_dict().items()}
    learner.model.load_state_dict(kept)
    valid, test = (scored(args, packed, splits[k], learner.model, 'fp32') for k in ('valid', 'test'))
    return result('smp', seed, packed, training, time.perf_counter() - began, valid, test, curve)


def result(name: str, seed: int, packed, training: float, everything: float, valid: dict, test: dict,
           curve: list) -> dict:
    "What `experiments.compare` asks of a run, and the times."
    scores = {k: test[k] for k in ('miou', 'iou', 'foreground_iou', 'n')}
    return {'run': name, 'seed': seed, 'training': training, 'everything': everything, 'valid': valid, 'test': test,
            'curve': curve, 'data': {'fingerprint': packed.fingerprint}, **scores}


def recipes(args, packed, seed: int) -> list[tuple]:
    "Ours: pairs of a recipe and the side of its photos."
    from facemask_seg.train import Recipe
    both = dict(scheme=packed.scheme, seed=seed, augment=args.augment, precision=args.precision, warmup=args.warmup,
                average=args.average)
    first = Recipe(size=args.first_size, epochs=max(1, args.first_epochs), batch_size=args.first_batch_size,
                   lr=args.first_lr, **both)
    last = Recipe(size=packed.size, epochs=args.epochs, batch_size=args.batch_size, lr=args.lr, **both)
    return [first, last] if args.first_epochs else [last]


def ours(args, folders: dict, seed: int, tmp: Path) -> dict:
    "Train with the package, first on small photos; its times and scores."
    from dataclasses import replace
    from facemask_seg.packed import Packed
    from facemask_seg.train import fit
    packed = Packed(folders['last'])
    curve, training, start, found = [], 0., None, {}
    began = time.perf_counter()
    for recipe in recipes(args, packed, seed):
        run, data = tmp/f'{seed}-{recipe.size}-{len(curve)}', folders['last' if recipe.size == packed.size else 'first']
        found = fit(replace(recipe, start=start), data, run, args.device, args.workers, progress=False,
                    compiled=args.compile)
        spent = recipe.epochs * found['data']['split']['train'] / found['photos_per_second']
        curve += [(training + spent * row['epoch'] / recipe.epochs, row['miou'] or 0.) for row in found['history']]
        training, start = training + spent, str(run)
    return result('ours', seed, packed, training, time.perf_counter() - began, found['valid'], found['test'], curve)


def warm(args, packed, splits: dict) -> None:
    "Let both make some steps, with networks that are thrown away."
    import torch
    from facemask_seg.images import IMAGENET
    from facemask_seg.loop import train_one_epoch
    from facemask_seg.train import loss_of, make_model, make_optimizer
    def some(n, size):
        return torch.randint(255, (n, 3, size, size), dtype=torch.uint8), torch.zeros(n, size, size, dtype=torch.uint8)
    for recipe in recipes(args, packed, 0):
        model = make_model(recipe, args.device)
        train_one_epoch(model, [some(recipe.batch_size, recipe.size)] * 3, loss_of(recipe),
                        make_optimizer(recipe, model), stats=IMAGENET, device=args.device, precision=args.precision,
                        progress=False)
    if not args.no_peer:
        photos, masks = some(args.peer_batch_size, packed.size)
        Peer(args, packed, len(splits['train']), 0).train([(photos.float(), masks.long())] * 3)


def tables_of(runs: list[dict]) -> dict:
    "A line for each training, and how the first seed's went, epoch by epoch."
    lines = [{'training': r['run'], 'seed': r['seed'],
              'seconds, training': r['training'], 'everything': r['everything'],
              'mIoU, validation': r['valid']['miou'] or 0., 'mIoU, test': r['test']['miou'] or 0.} for r in runs]
    curves = [{'training': r['run'], 'epoch': i, 'seconds, training': s, 'mIoU, validation': m}
              for r in runs if r['seed'] == runs[0]['seed'] for i, (s, m) in enumerate(r['curve'], 1)]
    return {'Time to a mask': lines, 'Epoch by epoch, one seed': curves}


def main() -> None:
    "All of it."
    args = arguments()
    args.quick = args.quick or not args.packed or args.no_peer
    from facemask_seg.convert import pack, pack_drawn
    from facemask_seg.experiments import compare, in_words
    from facemask_seg.loop import pick_device, pick_precision
    from facemask_seg.packed import Packed
    from facemask_seg.train import split_for
    pick_device(args.device)
    args.precision = pick_precision(args.precision, args.device)
    if args.precision == 'fp16': args.precision = 'fp32'    # the peer's plain loop has no loss scaling
    with scratch() as tmp:
        folders = {'last': args.packed or Path(tmp)/'drawn', 'first': Path(tmp)/'first'}
        if not args.packed:
            pack_drawn(folders['last'], 40, size=64, progress=False)
            args.first_size, args.first_epochs, args.epochs, args.peer_epochs = 32, 1, 1, 1
            args.first_batch_size = args.batch_size = args.peer_batch_size = 8
        packed, start = Packed(folders['last']), time.perf_counter()
        pack(folders['last'], folders['first'], size=args.first_size, scheme=packed.scheme, allow_empty=True,
             progress=False)
        packing, splits = time.perf_counter() - start, split_for(recipes(args, packed, 0)[-1], packed)
        warm(args, packed, splits)
        found: dict[str, list] = {'smp': [], 'ours': []}
        for seed in args.seeds:
            found['ours'].append(ours(args, folders, seed, Path(tmp)))
            if not args.no_peer: found['smp'].append(peer(args, packed, splits, seed))
            print(f'seed {seed} done', flush=True)
    tables, claims = tables_of(found['ours'] + found['smp']), []
    small = (f'{args.first_epochs} epochs at {args.first_size} px (batches of {args.first_batch_size}, '
             f'lr {args.first_lr:g}), then ' if args.first_epochs else '')
    notes = [f'ours: {small}{args.epochs} at {packed.size} px (batches of {args.batch_size}, lr {args.lr:g}), '
             f'warmup {args.warmup:g}, average {args.average:g}, augment {args.augment}{", compiled" * args.compile}; '
             f'packing at {args.first_size} px, before the clock: {packing:.1f} s',
             f'the peer: {args.peer_epochs} epochs, batches of {args.peer_batch_size}, lr {PEER["lr"]:g}, '
             f'{args.peer_workers} processes that load; both in {args.precision}']
    if found['smp']:
        seconds, miou = ({k: float(np.mean([r[what] or 0. for r in runs])) for k, runs in found.items()}
                         for what in ('training', 'miou'))
        told = compare(found['ours'], found['smp'])
        photos = packed.path.name if args.packed else 'drawn faces'
        notes.append(f'mIoU on {photos}, test, ours less smp: {in_words(told)}')
        claims = [claim(f"time of training for a mask as good, of smp's{where(args)}",
                        seconds['ours'] / seconds['smp'], TIMES, least=False),
                  claim(f"its mIoU on test photos, of smp's{where(args)}",
                        miou['ours'] / max(miou['smp'], 1e-9), SHARE)]
        soon = [s for s, m in found['ours'][0]['curve'] if m >= GOOD]
        if soon:
            claims.append(claim(f'training until {GOOD} mIoU, validation{where(args)}', soon[0], SOON, 'seconds',
                                least=False))
        else: notes.append(f'{GOOD} mIoU on validation was not reached')
    report('time_to_mask', args, tables, claims, notes)


if __name__ == '__main__': main()
