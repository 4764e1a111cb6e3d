"""A training step: photos a second against segmentation_models_pytorch, in the same precision, and where the time goes.

The peer is smp's Unet with a ResNet34, cross-entropy and its DiceLoss, AdamW, as its documentation trains it. Both
see the same batch of drawn faces of 128 px. A third way is ours with doubling and convolution as one transposed
convolution (`unet.fold_upsampling`), which the package does in prediction only. With --compile, torch.compile is
measured too. On a GPU the batch is there already, 20 steps are made between two looks at the clock, and a fourth way
is the peer with its maps laid out as ours are (channels last).
"""
from common import claim, flags, in_turns, on, report, where

SIZE = 128


def batch(size: int, n: int, device: str):
    "Photos and masks as a loader gives them."
    import torch
    from facemask_seg.faces import draw_faces
    photos, masks = draw_faces(4, size=size, seed=0)
    repeat = [i % 4 for i in range(n)]
    x = torch.from_numpy(photos[repeat]).permute(0, 3, 1, 2).contiguous()
    return x.to(device), torch.from_numpy(masks[repeat]).to(device)


def our_step(photos, masks, precision: str, compiled: bool = False, steps: int = 1):
    "A function that does some training steps of ours."
    import torch
    from facemask_seg.images import IMAGENET
    from facemask_seg.loop import train_one_epoch
    from facemask_seg.losses import LOSSES
    from facemask_seg.unet import ResNet34UNet
    model = ResNet34UNet(4).to(photos.device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)   # as `train` does
    if compiled: model.compile(dynamic=False)
    return lambda: train_one_epoch(model, [(photos, masks)] * steps, LOSSES['cross_entropy_dice'], optimizer,
                                   stats=IMAGENET, device=photos.device, precision=precision, progress=False)


def with_spreading(step):
    "The same step with decoder blocks that spread what comes from below, in place of repeating it."
    import torch
    from facemask_seg.unet import DecoderBlock, fold_upsampling
    functional = torch.nn.functional
    def forward(self, x, skip=None):
        conv, norm, relu = self.conv1
        y = functional.conv_transpose2d(x, fold_upsampling(conv.weight[:, :self.c_below]), stride=2, padding=1)
        if skip is not None: y = y + functional.conv2d(skip, conv.weight[:, self.c_below:], padding=1)
        return self.conv2(relu(norm(y)))
    def spreading():
        usual, DecoderBlock.forward = DecoderBlock.forward, forward
        try: step()
        finally: DecoderBlock.forward = usual
    return spreading


def smp_step(photos, masks, precision: str, compiled: bool = False, steps: int = 1, last: bool = False):
    "A function that does some training steps of the peer; `last`: its maps have the channels last."
    import segmentation_models_pytorch as smp
    import torch
    from facemask_seg.loop import autocast
    device, layout = photos.device, torch.channels_last if last else torch.contiguous_format
    model = smp.Unet('resnet34', encoder_weights=None, classes=4).train().to(device, memory_format=layout)
    if compiled: model.compile(dynamic=False)
    optimizer, dice = torch.optim.AdamW(model.parameters(), lr=1e-3), smp.losses.DiceLoss('multiclass')
    mean, std = (torch.tensor(v, device=device)[:, None, None] for v in ((.485, .456, .406), (.229, .224, .225)))
    target = masks.long()
    def step():
        x = ((photos.float() / 255 - mean) / std).contiguous(memory_format=layout)
        with autocast(precision, device): logits = model(x)
        loss = torch.nn.functional.cross_entropy(logits.float(), target) + dice(logits.float(), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return lambda: [step() for _ in range(steps)]


def profile(step, device: str, steps: int) -> list[dict]:
    "Where the time of a step goes, by operation; on a GPU, that of the GPU."
    from torch.profiler import ProfilerActivity, profile
    step()
    gpu = device != 'cpu'
    with profile(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * gpu) as seen: step()
    cost = lambda e: e.self_device_time_total if gpu else e.self_cpu_time_total
    # what runs on a GPU is counted twice: as an operation and as a kernel
    events = [e for e in sorted(seen.key_averages(), key=cost, reverse=True) if not gpu or e.key.startswith('aten::')]
    whole = max(sum(map(cost, events)), 1e-9)
    return [{'operation': e.key.removeprefix('aten::'), 'calls': e.count // steps, 'share of a step': cost(e) / whole}
            for e in events[:12]]


def ways_of(photos, masks, precision: str, args, steps: int) -> dict:
    "All ways to make a step, by name."
    from facemask_seg.loop import pick_precision
    how = dict(precision=precision, steps=steps)
    ways = {'smp': smp_step(photos, masks, **how)}
    if args.device != 'cpu': ways['smp, channels last'] = smp_step(photos, masks, last=True, **how)
    ways |= {'ours': our_step(photos, masks, **how), 'ours, spreading': with_spreading(our_step(photos, masks, **how))}
    # a GPU's compilers take minutes, so only in the precision that the device does well
    if args.compile and (args.device == 'cpu' or precision == pick_precision('auto', args.device)):
        if args.device != 'cpu':
            ways['smp, channels last, torch.compile'] = smp_step(photos, masks, compiled=True, last=True, **how)
        ways['ours, torch.compile'] = our_step(photos, masks, compiled=True, **how)
    return {name: on(args.device, way) for name, way in ways.items()}


if __name__ == '__main__':
    parser = flags(__doc__, device=True)
    parser.add_argument('--compile', action='store_true', help='measure torch.compile too (takes minutes to compile)')
    parser.add_argument('--batch-sizes', type=int, nargs='+',
                        help='photos in a batch (default: 16; on a GPU 16 and 64)')
    args = parser.parse_args()
    from facemask_seg.loop import pick_device, pick_precision
    pick_device(args.device)
    cpu = args.device == 'cpu'
    size, rounds, steps = (64, 1, 1) if args.quick else (SIZE, 7, 1) if cpu else (SIZE, 7, 20)
    precisions = dict.fromkeys(['fp32', pick_precision('auto', args.device)])
    tables, claims, notes = {}, [], []
    for n in args.batch_sizes or ([16] if cpu else [16, 64]):
        photos, masks = batch(size, n, args.device)
        for precision in precisions:
            ways = ways_of(photos, masks, precision, args, steps)
            seconds = {name: s / steps for name, s in in_turns(ways, args.rounds or rounds).items()}
            tables[f'A training step, {precision}, {size} px, batches of {n}{where(args)}'] = [
                {'step': k, 'photos a second': n / s, 'ms a photo': 1000 * s / n,
                 'times the speed of smp': seconds['smp'] / s}
                for k, s in seconds.items()]
            about = f'{precision}{where(args)}' + ('' if cpu else f', batches of {n}')
            claims.append(claim(f'training photos a second against smp, {about}', seconds['smp'] / seconds['ours'],
                                1.25))
    tables[f'Where the time goes, {precision}{where(args)}'] = profile(ways['ours'], args.device, steps)
    if cpu and not args.compile:
        notes.append('torch.compile was slower than eager when it was measured by hand '
                     '(2 cores, bf16: 13% more time at 128 px, 19% at 256 px)')
    if not cpu:
        notes.append('fp32 on a GPU: convolutions leave out bits (TF32), '
                     'which is what PyTorch does unless told otherwise')
    report('step', args, tables, claims, notes)
