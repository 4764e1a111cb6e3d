"""A training step: photos a second against segmentation_models_pytorch, in the same precision, and where the time goes.

The peer is smp's Unet with a ResNet34, cross-entropy and its DiceLoss, AdamW, as its documentation trains it. Both see the same batch
of 16 drawn faces of 128 px. A third way is ours with doubling and convolution as one transposed convolution (`unet.fold_upsampling`), which the
package does in prediction only. With --compile, torch.compile is measured too.
"""
from common import claim, in_turns, options, report

SIZE, BATCH = 128, 16


def batch(size: int):
    "Photos and masks as a loader gives them."
    import torch
    from facemask_seg.faces import draw_faces
    photos, masks = draw_faces(4, size=size, seed=0)
    repeat = [i % 4 for i in range(BATCH)]
    return torch.from_numpy(photos[repeat]).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(masks[repeat])


def our_step(photos, masks, precision: str, compiled: bool = False):
    "A function that does one training step of ours."
    import torch
    from facemask_seg.images import IMAGENET
    from facemask_seg.loop import train_one_epoch
    from facemask_seg.losses import LOSSES
    from facemask_seg.unet import ResNet34UNet
    model = ResNet34UNet(4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)   # as `train` does
    network = torch.compile(model) if compiled else model
    return lambda: train_one_epoch(network, [(photos, masks)], LOSSES['cross_entropy_dice'], optimizer, stats=IMAGENET, device='cpu',
                                   precision=precision, progress=False)


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


def smp_step(photos, masks, precision: str):
    "A function that does one training step of the peer."
    import segmentation_models_pytorch as smp
    import torch
    from facemask_seg.loop import autocast
    model = smp.Unet('resnet34', encoder_weights=None, classes=4).train()
    optimizer, dice = torch.optim.AdamW(model.parameters(), lr=1e-3), smp.losses.DiceLoss('multiclass')
    mean, std = (torch.tensor(v)[:, None, None] for v in ((.485, .456, .406), (.229, .224, .225)))
    target = masks.long()
    def step():
        x = (photos.float() / 255 - mean) / std
        with autocast(precision, 'cpu'): logits = model(x)
        loss = torch.nn.functional.cross_entropy(logits.float(), target) + dice(logits.float(), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return step


def profile(step) -> list[dict]:
    "Where the time of a step goes, by operation."
    from torch.profiler import ProfilerActivity, profile
    step()
    with profile(activities=[ProfilerActivity.CPU]) as seen: step()
    events = sorted(seen.key_averages(), key=lambda e: -e.self_cpu_time_total)
    whole = sum(e.self_cpu_time_total for e in events)
    return [{'operation': e.key.removeprefix('aten::'), 'calls': e.count, 'share of a step': e.self_cpu_time_total / whole} for e in events[:12]]


if __name__ == '__main__':
    args = options(__doc__)
    from facemask_seg.loop import pick_precision
    size, rounds = (64, 1) if args.quick else (SIZE, 7)
    photos, masks = batch(size)
    precisions = dict.fromkeys(['fp32', pick_precision('auto', 'cpu')])
    tables, claims, notes = {}, [], []
    for precision in precisions:
        ways = {'smp': smp_step(photos, masks, precision), 'ours': our_step(photos, masks, precision),
                'ours, spreading': with_spreading(our_step(photos, masks, precision))}
        if args.compile: ways['ours, torch.compile'] = our_step(photos, masks, precision, compiled=True)
        seconds = in_turns(ways, args.rounds or rounds)
        tables[f'A training step, {precision}, {size} px, batches of {BATCH}'] = [
            {'step': k, 'photos a second': BATCH / s, 'ms a photo': 1000 * s / BATCH, 'times the speed of smp': seconds['smp'] / s}
            for k, s in seconds.items()]
        claims.append(claim(f'training photos a second against smp, {precision}', seconds['smp'] / seconds['ours'], 1.25))
    tables[f'Where the time goes, {precision}'] = profile(ways['ours'])
    if not args.compile: notes.append('torch.compile was 10 to 18% slower than eager when it was measured by hand (2 cores, bf16, 128 and 256 px)')
    report('step', args, tables, claims, notes)
