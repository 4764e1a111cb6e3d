"""The numbers of the model card: python .ci/model_card.py FACES [--weights FILE]

FACES has `images` and `labels` (ids of CelebAMask); its last 100 photos are scored, which no training may have seen.
Numbers only go to results/model_card.json; then nbs/94_model_card.ipynb is run, which draws its tables and its picture
from that file. Two minutes on two cores.
"""
import argparse
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from common import ROOT
from facemask_seg.files import write_json
from facemask_seg.images import open_photo
from facemask_seg.labels import CELEBAMASK, EYES_LIPS, FACE
from facemask_seg.loop import autocast, decide
from facemask_seg.metrics import by_photo
from facemask_seg.predict import Resized, Segmenter, eye_openness
from facemask_seg.weights import weights_path

THIRDS = {'brightness': ('dark', 'middle', 'bright'), 'skin tone': ('dark', 'middle', 'light'),
          'head': ('frontal', 'middle', 'turned'), 'eyes': ('narrow', 'middle', 'wide')}
DRAWS = 4000    # Samples of the bootstrap
FEW = 10        # Fewer photos have no interval


def turned(eyes: tuple[np.ndarray, ...], lips: np.ndarray) -> float | None:
    "How far the lips lie beside the middle of the eyes, in distances from eye to eye; None when one of them is hidden."
    if not all(part.any() for part in (*eyes, lips)): return None
    left, right, mouth = (np.stack(np.nonzero(part)).mean(1) for part in (*eyes, lips))
    axis = left - right
    return float(abs((mouth - (left + right) / 2) @ axis) / (axis @ axis))


def about(photo: np.ndarray, labels: np.ndarray) -> dict:
    "What a photo is like, from its pixels and its source labels."
    def part(*names: str) -> np.ndarray: return np.isin(labels, [CELEBAMASK[name] for name in names])
    light, eyes = photo @ np.array([.2126, .7152, .0722]) / 255, (part('l_eye'), part('r_eye'))
    opened = [eye_openness(eye) for eye in eyes if eye.any()]
    return {'glasses': bool(part('eye_g').any()), 'hat': bool(part('hat').any()), 'brightness': float(light.mean()),
            'skin tone': float(np.median(light[part('skin')])), 'head': turned(eyes, part('u_lip', 'l_lip')),
            'eyes': float(np.mean(opened)) if opened else None}


def groups(photos: list[dict]) -> Iterator[tuple[str, str, list[int]]]:
    """What divides the photos, the group's name, and the numbers of its photos;
    those without eyes are in no third of heads and eyes."""
    for by in 'glasses', 'hat':
        for name, value in ('without', False), ('with', True):
            yield by, name, [i for i, p in enumerate(photos) if p[by] == value]
    for by, names in THIRDS.items():
        order = sorted((p[by], i) for i, p in enumerate(photos) if p[by] is not None)
        for name, third in zip(names, np.array_split([i for _, i in order], 3)): yield by, name, third.tolist()


def iou(counts: np.ndarray) -> np.ndarray:
    "IoU from intersections and unions (..., 2); nan where there is nothing."
    return np.where(counts[..., 1] > 0, counts[..., 0] / np.maximum(counts[..., 1], 1), np.nan)


def redrawn(counts: np.ndarray, seed: int = 0) -> np.ndarray:
    "The mean IoU of samples of the photos (photos, classes, 2), drawn with repetition."
    n = len(counts)
    times = np.random.default_rng(seed).multinomial(n, [1/n]*n, DRAWS)
    return np.nanmean(iou(np.einsum('dn,nck->dck', times, counts)), 1)


def score(counts: np.ndarray) -> dict:
    "How many photos, their mean IoU, all pixels together, and the interval that 95 of 100 samples lie in."
    row = {'n': len(counts), 'miou': round(float(np.nanmean(iou(counts.sum(0)))), 4)}
    if len(counts) < FEW: return row
    return row | dict(zip(('low', 'high'), np.percentile(redrawn(counts), [2.5, 97.5]).round(4).tolist()))


def difference(one: np.ndarray, other: np.ndarray) -> dict:
    "How much lower the first group scores than the second, and the interval of it."
    if min(len(one), len(other)) < FEW: return {}
    low, high = np.percentile(redrawn(other, seed=1) - redrawn(one), [2.5, 97.5]).round(4).tolist()
    loses = float(np.nanmean(iou(other.sum(0))) - np.nanmean(iou(one.sum(0))))
    return {'loses': round(loses, 4), 'loses_low': low, 'loses_high': high}


def eyes_and_lips(probabilities: torch.Tensor) -> torch.Tensor:
    "Masks of eyes and lips from the probabilities of all classes."
    table = EYES_LIPS.lookup_from(FACE)[:FACE.n_classes]
    return decide(torch.stack([probabilities[:, table == i].sum(1) for i in range(EYES_LIPS.n_classes)], 1))


def measure(faces: Path, weights: Path) -> dict:
    "Everything that the card says about the model, as numbers."
    files = sorted((faces/'images').iterdir())[-100:]
    photos = [open_photo(file) for file in files]
    labels = [np.array(Image.open(faces/'labels'/f'{file.stem}.png')) for file in files]
    network = Segmenter.load(weights, FACE, 'cpu')
    meta = replace(network.meta, size=photos[0].width)      # Compared with the masks as they are
    network = Segmenter(Resized(network.model, network.meta.size), meta, 'cpu')
    truth, true_parts = (np.stack([scheme.from_source(mask) for mask in labels]) for scheme in (EYES_LIPS, FACE))

    def ask(tta: bool = False, precision: str = 'fp32') -> tuple[torch.Tensor, torch.Tensor]:
        found = []
        for i in range(0, len(photos), 10):
            with autocast(precision, 'cpu'): p = network.probabilities(photos[i:i+10], tta)
            found.append((eyes_and_lips(p), decide(p)))
        few, every = zip(*found)
        return torch.cat(few), torch.cat(every)
    def counts(masks) -> np.ndarray: return by_photo(masks, truth, EYES_LIPS.n_classes).numpy()

    masks, all_parts = ask()
    once, parts = counts(masks), by_photo(all_parts, true_parts, FACE.n_classes).numpy()
    twice, bf16 = counts(ask(tta=True)[0]), counts(ask(precision='bf16')[0])
    whole = Segmenter.load(weights, EYES_LIPS, 'cpu').predict(photos, faces='all')
    divided = list(groups([about(np.asarray(photo), mask) for photo, mask in zip(photos, labels)]))
    rest = {(by, name): [k for b, other, i in divided if b == by and other != name for k in i]
            for by, name, _ in divided}
    eyes, found = (np.isin(ids, (1, 2)).sum((1, 2)) for ids in (truth, masks.numpy()))
    return {'weights': hashlib.sha256(weights.read_bytes()).hexdigest(), 'photos': [files[0].stem, files[-1].stem],
            'all': score(once), 'two_looks': score(twice), 'bf16': score(bf16),
            'searched': score(counts(np.stack([seen.mask for seen in whole])))
                        | {'one_face': sum(len(seen.faces or ()) == 1 for seen in whole),
                           'none': sum(not seen.faces for seen in whole)},
            'groups': [{'by': by, 'group': name} | score(once[i]) | difference(once[i], once[rest[by, name]])
                       for by, name, i in divided if i],
            'no_eyes': {'n': int((eyes == 0).sum()), 'usual': float(np.median(eyes[eyes > 0])),
                        'found': found[eyes == 0].tolist()},
            'classes': [{'class': name, 'worn': int((true_parts == i).any((1, 2)).sum()),
                         'iou': round(float(iou(parts[:, i-1].sum(0))), 4)}
                        for i, name in enumerate(FACE.classes) if i and (true_parts == i).any()]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('faces', type=Path)
    parser.add_argument('--weights', type=Path, help='default: the model of the package')
    args = parser.parse_args()
    numbers = measure(args.faces, weights_path(args.weights))
    write_json(ROOT/'results'/'model_card.json', numbers)
    print({k: numbers[k] for k in ('all', 'two_looks', 'searched')}, flush=True)
    subprocess.run([sys.executable, ROOT/'.ci/notebooks.py', ROOT/'nbs/94_model_card.ipynb'], check=True)


if __name__ == '__main__': main()
