"""Prediction: the network alone, one face (p50, p95), and a folder of photos of 1024 px end to end.

The peer is segmentation_models_pytorch's Unet with a ResNet34, eager, as its documentation uses it: the same network.
Its folder is read and written by the plain script below, which writes what ours writes: a mask and an overlay at the
photo's own size.
"""
from copy import deepcopy
from pathlib import Path

import numpy as np

from common import claim, faces, in_turns, on, options, report, scratch, take_turns, where

SIZE, BATCH = 256, 8


def networks(classes: int, device: str) -> dict:
    "Networks in evaluation, by name, each with the batch layout and type it likes: (network, prepare the input)."
    import segmentation_models_pytorch as smp
    import torch
    from facemask_seg.loop import cpu_has_bf16
    from facemask_seg.unet import fold
    from facemask_seg.weights import load_model
    ours, _ = load_model(None, device=device)
    last = lambda x: x.contiguous(memory_format=torch.channels_last)
    peer = smp.Unet('resnet34', encoder_weights=None, classes=classes).eval().to(device)
    found = {'smp, eager': (peer, lambda x: x),
             'ours, as trained': (ours, last),
             'ours, folded': (fold(ours).to(memory_format=torch.channels_last), last)}
    if device != 'cpu':
        half_peer = deepcopy(peer).to(torch.bfloat16, memory_format=torch.channels_last)
        found['smp, channels last, bf16'] = half_peer, lambda x: last(x).to(torch.bfloat16)
    if device != 'cpu' or cpu_has_bf16():
        half = fold(ours).to(torch.bfloat16, memory_format=torch.channels_last)
        found['ours, folded, bf16'] = half, lambda x: last(x).to(torch.bfloat16)
    return found


def alone(args, rounds: int) -> tuple[dict, list[dict]]:
    "The network alone, in batches and face by face."
    import torch
    found, rows = networks(19, args.device), {}
    for n in (BATCH, 1):
        x = torch.randn(n, 3, SIZE, SIZE, device=args.device)
        ways = {name: on(args.device, lambda net=net, x=to(x): net(x)) for name, (net, to) in found.items()}
        with torch.inference_mode(): seconds = take_turns(ways, rounds if n > 1 else 3 * rounds)
        for name, s in seconds.items():
            row = rows.setdefault(name, {'network alone, 256 px, 19 classes': name})
            if n > 1: row['ms a photo, batches of 8'] = 1000 * float(np.median(s)) / n
            else: row |= {'one face p50': 1000 * float(np.median(s)), 'p95': 1000 * float(np.percentile(s, 95))}
    peer, folded = rows['smp, eager'], rows['ours, folded']
    for row in rows.values():
        row['times as fast as smp'] = peer['ms a photo, batches of 8'] / row['ms a photo, batches of 8']
    claims = [claim(f'the network alone, against smp, fp32{where(args)}', folded['times as fast as smp'], 1.5),
              claim(f'one face, p95 of the network{where(args)}', folded['p95'] / 1000, 2., 'seconds', least=False)]
    return {f'The network alone{where(args)}': list(rows.values())}, claims


def photos(folder: Path, n: int) -> list[Path]:
    "n photos of 1024 px: copies of real ones where there are some, else drawn faces."
    from PIL import Image
    from facemask_seg.faces import draw_face
    folder.mkdir()
    real = faces()
    if real: sources = sorted((real/'CelebA-HQ-img').glob('*.jpg'))
    else:
        sources = [folder.parent/f'drawn{i}.jpg' for i in range(4)]
        for i, path in enumerate(sources):
            Image.fromarray(draw_face(i, 512)[0]).resize((1024, 1024)).save(path, quality=95)
    for i in range(n): (folder/f'{i:04}.jpg').write_bytes(sources[i % len(sources)].read_bytes())
    return sorted(folder.iterdir())


def plain(network, files: list[Path], dest: Path) -> None:
    "How one would write it: read, shrink, normalise, predict in batches, enlarge, decide, write mask and overlay."
    import torch
    from PIL import Image
    from facemask_seg.labels import EYES_LIPS
    dest.mkdir(exist_ok=True)
    device = next(network.parameters()).device
    mean, std = (torch.tensor(v)[:, None, None] for v in ((.485, .456, .406), (.229, .224, .225)))
    colors = np.array([[int(c[i:i + 2], 16) for i in (1, 3, 5)] for c in EYES_LIPS.colors])
    for start in range(0, len(files), BATCH):
        some = files[start:start + BATCH]
        originals = [Image.open(f).convert('RGB') for f in some]
        small = np.stack([np.asarray(p.resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for p in originals])
        x = (torch.from_numpy(small).permute(0, 3, 1, 2).float() / 255 - mean) / std
        with torch.no_grad(): logits = network(x.to(device)).cpu()
        for file, photo, z in zip(some, originals, logits):
            large = torch.nn.functional.interpolate(z[None], photo.size[::-1], mode='bilinear')[0]
            mask, pixels = large.argmax(0).numpy().astype(np.uint8), np.asarray(photo)
            mixed = np.where(mask[..., None] > 0, .5 * pixels + .5 * colors[mask], pixels).astype(np.uint8)
            Image.fromarray(mask).save(dest/f'{file.stem}_mask.png')
            Image.fromarray(mixed).save(dest/f'{file.stem}_overlay.jpg', quality=92)


def folder(args, rounds: int, n: int) -> tuple[dict, list[dict], list[str]]:
    "A folder of photos of 1024 px, from files to files."
    import segmentation_models_pytorch as smp
    from facemask_seg.predict import Segmenter, predict_files
    peer = smp.Unet('resnet34', encoder_weights=None, classes=4).eval().to(args.device)
    segmenter = Segmenter.load(device=args.device)
    with scratch() as tmp:
        files = photos(Path(tmp)/'photos', n)
        ours = lambda: predict_files(segmenter, files, Path(tmp)/'ours', overwrite=True, faces='one', progress=False)
        theirs = lambda: plain(peer, files, Path(tmp)/'peer')
        seconds = in_turns({'smp, eager, a plain script': theirs, 'ours': ours}, rounds)
        shares = steps(segmenter, files[0], Path(tmp), rounds)
    first = seconds['smp, eager, a plain script']
    rows = [{'folder of 1024 px, from file to file': k, 'photos a second': n / s, 'ms a photo': 1000 * s / n,
             'times as fast as smp': first / s} for k, s in seconds.items()]
    kind = 'copies of real photos' if faces() else 'drawn faces'
    return ({f'A folder of photos{where(args)}': rows,
             f'One photo, step by step, one after the other{where(args)}': shares},
            [claim(f'a folder end to end, against smp{where(args)}', first / seconds['ours'], 1.5)],
            [f'the photos: {n} {kind}'])


def steps(segmenter, file: Path, tmp: Path, rounds: int) -> list[dict]:
    "Where the time of one photo goes."
    from facemask_seg.images import open_photo, prepare
    from facemask_seg.predict import Prediction, full_size_mask
    photo = open_photo(file)
    p = segmenter.probabilities([photo])[0]
    found = Prediction(photo, full_size_mask(p, *photo.size), segmenter.meta.scheme)
    overlay = found.overlay()
    ways = {'read and decode': lambda: open_photo(file),
            "the network's square": lambda: prepare([photo], segmenter.meta.size),
            'square and network': lambda: segmenter.probabilities([photo]),
            'enlarge and decide': lambda: full_size_mask(p, *photo.size),
            'write the mask': lambda: found.save(tmp/'mask.png', overwrite=True),
            'mix the overlay': found.overlay,
            'write the overlay': lambda: overlay.save(tmp/'overlay.jpg', quality=92)}
    return [{'step': k, 'ms': 1000 * s} for k, s in in_turns(ways, 2 * rounds + 1).items()]


if __name__ == '__main__':
    args = options(__doc__, device=True)
    tables, claims = alone(args, args.rounds or (1 if args.quick else 9))
    more, further, notes = folder(args, args.rounds or (1 if args.quick else 5), 2 if args.quick else 24)
    report('predict', args, tables | more, claims + further, notes)
