"""The models that ship, from photos to the file: python .ci/model.py FACES [--work model] [--dest FILE] [--student]

FACES is CelebAMask-HQ, or a folder with `images` and `labels` like it. Each step goes on where it stopped. A GPU takes about seven
minutes, two cores a night or more. With --student it is the small network, models/small.safetensors. How the training went is
noted in results/model_training.json.
"""
import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from torch import nn

from common import ROOT
from facemask_seg.cli import REPORTED, table
from facemask_seg.convert import pack
from facemask_seg.data import FaceDataset, batches, split
from facemask_seg.files import read_json, write_json
from facemask_seg.labels import EYES_LIPS, FACE, Scheme
from facemask_seg.loop import evaluate
from facemask_seg.packed import MANIFEST, Packed
from facemask_seg.predict import Merged
from facemask_seg.train import DEFAULT, fit
from facemask_seg.weights import Meta, load_model, ship


def eyes_and_lips(weight: float) -> tuple[float, ...]:
    "Class weights: so much for these, 1 for the rest."
    return tuple(weight if name in ('left_eye', 'right_eye', 'upper_lip', 'lower_lip') else 1. for name in FACE.classes)


FIRST = replace(DEFAULT, scheme=FACE, size=128, augment='standard', batch_size=32, lr=1.5e-3, epochs=28, average=.998, valid=150, test=100)
SECOND = replace(FIRST, size=256, lr=1e-3, epochs=40, warmup=.1, class_weights=eyes_and_lips(2.))
STUDENT_FIRST = replace(FIRST, model='small_unet', epochs=36)
STUDENT_SECOND = replace(SECOND, model='small_unet', lr=1.5e-3)
TRAINING = ROOT/'results/model_training.json'


def packed_at(size: int, faces: Path, work: Path) -> Packed:
    "The photos at one size, packed now unless they were before."
    dest = work/f'packed-{size}'
    if not (dest/MANIFEST).exists(): pack(faces, dest, size=size, scheme=FACE)
    return Packed(dest)


def measure(model: nn.Module, meta: Meta, packed: Packed, scheme: Scheme, name: str = 'test') -> dict:
    "How good a network is on the photos of one split, in the classes of `scheme`."
    network = model if scheme == meta.scheme else Merged(model, meta.scheme, scheme)
    photos = split(len(packed), SECOND.valid, SECOND.test)[name]
    loader = batches(FaceDataset(packed, photos.tolist(), scheme), 8)
    report = evaluate(network.eval(), loader, scheme, stats=meta.stats, device='cpu')
    return {k: report[k] for k in REPORTED}


def write(run: Path, packed: Packed, dest: Path, earlier: list[dict]) -> None:
    "The file of 8 bits a weight, with what it scores and what it would score in 32 bits."
    model, meta = load_model(run)
    schemes = EYES_LIPS, FACE
    exact = {s.name: measure(model, meta, packed, s)['miou'] for s in schemes}
    sizes = {name: len(ids) for name, ids in split(len(packed), SECOND.valid, SECOND.test).items()}
    phases = ' and '.join(f"{r['epochs']} epochs at {r['size']} px" for r in [*earlier, meta.recipe])
    learned = (f"{sizes['train']:,} faces of CelebAMask-HQ for training, {sizes['valid']} for choosing, "
               f"{sizes['test']} for testing; {phases}")
    card = {'cut': 'face_square', 'data': learned, 'miou_32_bits': exact, 'earlier': earlier}
    with tempfile.TemporaryDirectory() as tmp:
        ship(run, Path(tmp)/'8.safetensors', card)
        small, _ = load_model(Path(tmp)/'8.safetensors')
    metrics = {s.name: measure(small, meta, packed, s) for s in schemes}
    ship(run, dest, card | {'metrics': metrics})
    for name, report in metrics.items(): print(f'{name}, {exact[name]:.4f} in 32 bits\n{table(report)}\n')
    print(f'{dest}: {dest.stat().st_size / 2**20:.1f} MiB')


def phase(run: Path) -> dict:
    "One phase of a training: its recipe in short, how long it took, and its scores in all nineteen classes, epoch by epoch."
    result = read_json(run/'result.json')
    history = [{k: round(row[k], 5) for k in ('epoch', 'train_loss', 'valid_loss', 'miou')} for row in result['history']]
    return ({k: result['recipe'][k] for k in ('model', 'size', 'epochs', 'batch_size', 'lr', 'augment', 'average')}
            | {k: result[k] for k in ('device', 'precision', 'seconds', 'best_epoch')}
            | {k: result[k]['miou'] for k in ('valid', 'test')} | {'history': history})


def note(runs: Path, packed: Packed, dest: Path) -> None:
    "How the training of a file went, and what the file scores, for the model card."
    model, meta = load_model(dest)
    scores = {'test': {name: report['miou'] for name, report in meta.card['metrics'].items()},
              'valid': {s.name: measure(model, meta, packed, s, 'valid')['miou'] for s in (EYES_LIPS, FACE)}}
    trained = {'file': scores} | {name: phase(runs/name) for name in ('first', 'second')}
    write_json(TRAINING, (read_json(TRAINING) if TRAINING.exists() else {}) | {dest.stem: trained})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('faces', type=Path)
    parser.add_argument('--work', type=Path, default=Path('model'), help='where packed photos and runs are kept')
    parser.add_argument('--dest', type=Path, help='the file (default: where the package has its models)')
    parser.add_argument('--student', action='store_true', help='the small model')
    args = parser.parse_args()
    name, runs, first, second = (('small', args.work/'student', STUDENT_FIRST, STUDENT_SECOND) if args.student
                                 else ('face', args.work, FIRST, SECOND))
    small, packed = (packed_at(r.size, args.faces, args.work) for r in (first, second))
    fit(first, small.path, runs/'first')
    fit(replace(second, start=str(runs/'first')), packed.path, runs/'second')
    dest = args.dest or ROOT/f'facemask_seg/models/{name}.safetensors'
    write(runs/'second', packed, dest, [first.to_dict()])
    if not args.dest: note(runs, packed, dest)


if __name__ == '__main__': main()
