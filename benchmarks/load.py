"""Loading: batches of bytes against a memcpy, augmentation per photo, and the loader's share of a training step.

The peer of a batch is `numpy.copyto` of as many bytes: nothing that hands out a batch can be faster. The peer of the
augmentation is torchvision's, photo by photo, which gives the same photos but for last bits. On a GPU (--device cuda)
batches are copied there and changed there; its share of a training is what is lost beside a training on one batch
that is there already.
"""
from pathlib import Path

import numpy as np

from common import claim, in_turns, on, options, report, scratch


def through(loader, device: str = 'cpu') -> None:
    "Take every batch of a loader, onto a device."
    for batch in loader:
        if device != 'cpu': [t.to(device, non_blocking=True) for t in batch]


def by_torchvision(packed):
    "A function that changes each photo of a folder with torchvision's transforms, as a dataset of its own would."
    import torch
    from torchvision import tv_tensors
    from torchvision.transforms import v2
    from facemask_seg.data import FaceDataset, flip
    from facemask_seg.images import PAD
    fill, data = {tv_tensors.Image: list(PAD), tv_tensors.Mask: 0}, FaceDataset(packed)
    affine = v2.RandomAffine(15, (.1, .1), (.8, 1.25), fill=fill, interpolation=v2.InterpolationMode.BILINEAR)
    change = v2.Compose([affine, v2.ColorJitter(.3, .3, .3)])
    def batches():
        for i in range(0, len(data), 16):
            pairs = [data[k] for k in range(i, min(i + 16, len(data)))]
            pairs = [flip(*pair, packed.scheme) if torch.rand(()) < .5 else pair for pair in pairs]
            changed = [change(tv_tensors.Image(photo), tv_tensors.Mask(mask)) for photo, mask in pairs]
            yield tuple(map(torch.stack, zip(*changed)))
    return lambda: through(batches())


def loading(packed, rounds: int) -> tuple[list[dict], list[dict]]:
    "Batches of 16 without augmentation against a memcpy, and augmentation per photo."
    from facemask_seg.data import FaceDataset, batches
    n = len(packed)
    images, masks = np.empty(packed.images.shape, np.uint8), np.empty(packed.masks.shape, np.uint8)
    def copy():
        np.copyto(images, packed.images)
        np.copyto(masks, packed.masks)
    ways = {'memcpy': copy}
    for augment in 'none', 'flip', 'standard':
        data = FaceDataset(packed, augment=augment)
        ways[f'batches, augment={augment}'] = lambda data=data: through(batches(data, 16, shuffle=True))
    ways['torchvision, as augment=standard'] = by_torchvision(packed)
    seconds = in_turns(ways, rounds)
    size = images.nbytes + masks.nbytes
    rows = [{f'{packed.size} px, one process': k, 'ms a photo': 1000 * s / n, 'MB a second': size / s / 1e6,
             'share of memcpy': seconds['memcpy'] / s} for k, s in seconds.items()]
    share = seconds['memcpy'] / seconds['batches, augment=none']
    return rows, [claim(f'batches of bytes at {packed.size} px against memcpy', share, .4, 'of its speed')]


def share_of_step(packed, steps: int) -> tuple[list[dict], list[dict]]:
    "How long a training waits for its batches, beside how long it computes."
    import time
    import torch
    from facemask_seg.data import FaceDataset, batches
    from facemask_seg.images import IMAGENET
    from facemask_seg.loop import pick_precision, train_one_epoch
    from facemask_seg.losses import LOSSES
    from facemask_seg.unet import ResNet34UNet
    model = ResNet34UNet(packed.scheme.n_outputs)
    optimizer, rows, claims = torch.optim.AdamW(model.parameters()), [], []
    for augment, workers in ('flip', 0), ('standard', 0), ('standard', 1):
        data, waited = FaceDataset(packed, range(16 * steps), augment=augment), []
        def watched(loader):
            it = iter(loader)
            while True:
                start = time.perf_counter()
                batch = next(it, None)
                waited.append(time.perf_counter() - start)
                if batch is None: return
                yield batch
        start = time.perf_counter()
        train_one_epoch(model, watched(batches(data, 16, workers=workers)), LOSSES['cross_entropy_dice'], optimizer,
                        stats=IMAGENET, device='cpu', precision=pick_precision('auto', 'cpu'), progress=False)
        whole = time.perf_counter() - start
        first = waited.pop(0)      # a worker process has to start: once for a whole training
        whole -= first
        rows.append({f'training at {packed.size} px, batches of 16': f'augment={augment}, workers={workers}',
                     'ms a step': 1000 * whole / (steps - 1), 'ms of it waiting': 1000 * sum(waited) / (steps - 1),
                     'share': sum(waited) / whole})
    claims.append(claim("the loader's share of a step, augment=standard, one worker", rows[-1]['share'], .02,
                        'of the time', least=False))
    return rows, claims


def on_gpu(packed, device: str, n: int, rounds: int) -> tuple[dict, list[dict]]:
    "Batches that go to a GPU and are changed there; and what a training loses by waiting for them."
    import torch
    from facemask_seg.data import FaceDataset, batches
    from facemask_seg.images import IMAGENET
    from facemask_seg.loop import pick_precision, train_one_epoch
    from facemask_seg.losses import LOSSES
    from facemask_seg.unet import ResNet34UNet
    def loader(augment, workers):
        return batches(FaceDataset(packed, augment=augment), n, shuffle=True, workers=workers, device=device)
    ways = {f'augment={a}, workers={w}': on(device, lambda a=a, w=w: through(loader(a, w), device))
            for a in ('none', 'flip', 'standard') for w in (0, 4)}
    rows = [{f'{packed.size} px, batches of {n}, onto the GPU': k, 'photos a second': len(packed) / s}
            for k, s in in_turns(ways, rounds).items()]
    model = ResNet34UNet(packed.scheme.n_outputs).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    def train(data):
        train_one_epoch(model, data, LOSSES['cross_entropy_dice'], optimizer, stats=IMAGENET, device=device,
                        precision=pick_precision('auto', device), progress=False)
    kept = [tuple(t.to(device) for t in batch) for batch in list(loader('none', 0))[:1]] * (len(packed) // n)
    ways = {'one batch that is there': on(device, lambda: train(kept))}
    ways |= {f'augment={a}, workers={w}': on(device, lambda a=a, w=w: train(loader(a, w)))
             for a, w in (('flip', 0), ('standard', 0), ('standard', 4))}
    seconds = in_turns(ways, rounds)
    best = seconds['one batch that is there']
    shares = [{f'training at {packed.size} px, batches of {n}, on the GPU': k, 'photos a second': len(packed) / s,
               'lost': 1 - best / s} for k, s in seconds.items()]
    lost = max(shares[2]['lost'], .001)    # less cannot be measured
    return ({f'Loading onto the GPU, {packed.size} px': rows, f'Training on the GPU, {packed.size} px': shares},
            [claim(f"the loader's share of a training, augment=standard, {packed.size} px, {device}", lost, .02,
                   'of the time', least=False)])


if __name__ == '__main__':
    args = options(__doc__, device=True)
    from facemask_seg.convert import pack_drawn
    from facemask_seg.packed import Packed
    rounds, tables, claims = args.rounds or (1 if args.quick else 7), {}, []
    if args.quick: sizes = ((64, 48),)
    else: sizes = ((128, 256), (256, 96)) if args.device == 'cpu' else ((128, 1280), (256, 640))
    with scratch() as tmp:
        for size, n in sizes:
            pack_drawn(Path(tmp)/str(size), n, size=size, progress=False)
            packed = Packed(Path(tmp)/str(size))
            if args.device != 'cpu':
                more, further = on_gpu(packed, args.device, 16 if args.quick else 64,
                                       args.rounds or (1 if args.quick else 3))
                tables, claims = tables | more, claims + further
                continue
            tables[f'Loading, {size} px'], more = loading(packed, rounds)
            claims += more
            if size <= 128:
                tables[f'Waiting, {size} px'], more = share_of_step(packed, min(6, n // 16))
                claims += more
            del packed
    report('load', args, tables, claims)
