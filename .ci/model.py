"""The models that ship, from photos to the file: python .ci/model.py FACES [--work model] [--dest FILE] [--student]

FACES is CelebAMask-HQ, or a folder with `images` and `labels` like it. Each step goes on where it stopped. The first
two phases take five minutes on a GPU, and a night or more on two cores; the other five, under six hours on two cores.
With --student it is the small network, models/small.safetensors, in two phases. How the training went is noted in
results/model_training.json.
"""
import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from torch import nn

import squares
import taught
import wider
from common import ROOT
from facemask_seg.cli import REPORTED, table
from facemask_seg.convert import pack
from facemask_seg.data import split
from facemask_seg.files import read_json, write_json
from facemask_seg.labels import EYES_LIPS, FACE, Scheme
from facemask_seg.packed import MANIFEST, Packed
from facemask_seg.predict import Resized
from facemask_seg.train import DEFAULT, STANDARD, train_task
from facemask_seg.weights import Meta, load_model, ship


def eyes_and_lips(weight: float) -> tuple[float, ...]:
    "Class weights: so much for these, 1 for the rest."
    return tuple(weight if name in ('left_eye', 'right_eye', 'upper_lip', 'lower_lip') else 1. for name in FACE.classes)


FIRST = replace(DEFAULT, scheme=FACE, size=128, augment='standard', batch_size=32, lr=1.5e-3, epochs=28,
                average=.998, valid=150, test=100)
SECOND = replace(FIRST, size=256, lr=1e-3, epochs=40, warmup=.1, class_weights=eyes_and_lips(2.))
# Squares around eyes and lips, with a second question about them; then whole photos again, with the same question
THIRD = replace(SECOND, lr=5e-4, epochs=32, unions=EYES_LIPS, accumulate=2)
FOURTH = replace(THIRD, lr=3e-4, epochs=3, batch_size=8, augment='flip', average=.995, accumulate=1)
# Squares once more, with that network as a teacher; then whole photos, which the network sees larger, and those with
# it as a teacher. There nothing is flipped: masks lie a quarter of a pixel beside their photos, mirrored ones elsewhere
FIFTH = replace(THIRD, epochs=24)
SIXTH = replace(FOURTH, augment='none', seed=1)
SEVENTH = replace(SIXTH, epochs=5, seed=2)
STUDENT_FIRST = replace(FIRST, model='small_unet', epochs=36)
STUDENT_SECOND = replace(SECOND, model='small_unet', lr=1.5e-3)
# What each model goes through, in this order
PHASES = {'face': {'first': (STANDARD, FIRST), 'second': (STANDARD, SECOND), 'third': (squares.TASK, THIRD),
                   'fourth': (STANDARD, FOURTH), 'fifth': (taught.TASK, FIFTH), 'sixth': (wider.TASK, SIXTH),
                   'seventh': (wider.TAUGHT, SEVENTH)},
          'small': {'first': (STANDARD, STUDENT_FIRST), 'second': (STANDARD, STUDENT_SECOND)}}
# At which size it sees photos in the end; the masks are those of the second phase
SIZES = {'face': round(wider.TIMES * SECOND.size), 'small': STUDENT_SECOND.size}
TRAINING = ROOT/'results/model_training.json'


def packed_at(size: int, faces: Path, work: Path) -> Packed:
    "The photos at one size, packed now unless they were before."
    dest = work/f'packed-{size}'
    if not (dest/MANIFEST).exists(): pack(faces, dest, size=size, scheme=FACE)
    return Packed(dest)


def measure(model: nn.Module, meta: Meta, packed: Packed, scheme: Scheme, name: str = 'test') -> dict:
    "How good a network is on the photos of one split, in the classes of `scheme`."
    photos = split(len(packed), SECOND.valid, SECOND.test)[name]
    network = Resized(model, meta.size)
    report = squares.scored(network, meta.scheme, scheme, packed, photos, stats=meta.stats, device='cpu')
    return {k: report[k] for k in REPORTED}


def write(run: Path, packed: Packed, dest: Path, earlier: list[dict], size: int) -> None:
    "The file of 8 bits a weight, with what it scores and what it would score in 32 bits, shown photos of `size`."
    model, meta = load_model(run)
    meta = replace(meta, size=size)
    schemes = EYES_LIPS, FACE
    exact = {s.name: measure(model, meta, packed, s)['miou'] for s in schemes}
    sizes = {name: len(ids) for name, ids in split(len(packed), SECOND.valid, SECOND.test).items()}
    phases = ', then '.join(f"{r['epochs']} epochs at {r['size']} px" for r in [*earlier, meta.recipe])
    learned = (f"{sizes['train']:,} faces of CelebAMask-HQ for training, {sizes['valid']} for choosing, "
               f"{sizes['test']} for testing; {phases}")
    card = {'cut': 'face_square', 'data': learned, 'miou_32_bits': exact, 'earlier': earlier}
    with tempfile.TemporaryDirectory() as tmp:
        ship(run, Path(tmp)/'8.safetensors', card, size)
        small, _ = load_model(Path(tmp)/'8.safetensors')
    metrics = {s.name: measure(small, meta, packed, s) for s in schemes}
    ship(run, dest, card | {'metrics': metrics}, size)
    for name, report in metrics.items(): print(f'{name}, {exact[name]:.4f} in 32 bits\n{table(report)}\n')
    print(f'{dest}: {dest.stat().st_size / 2**20:.1f} MiB')


def phase(run: Path) -> dict:
    "One phase of a training: its recipe in short, how long it took, and its scores in all classes, epoch by epoch."
    result, kept = read_json(run/'result.json'), ('epoch', 'train_loss', 'valid_loss', 'miou', 'eyes_lips')
    history = [{k: round(row[k], 5) for k in kept if k in row} for row in result['history']]
    return ({k: result['recipe'][k] for k in ('model', 'size', 'epochs', 'batch_size', 'lr', 'augment', 'average')}
            | {k: result[k] for k in ('device', 'precision', 'seconds', 'best_epoch', 'teacher') if k in result}
            | {k: result[k]['miou'] for k in ('valid', 'test')} | {'history': history})


def note(runs: Path, packed: Packed, dest: Path) -> None:
    "How the training of a file went, and what the file scores, for the model card."
    model, meta = load_model(dest)
    scores = {'test': {name: report['miou'] for name, report in meta.card['metrics'].items()},
              'valid': {s.name: measure(model, meta, packed, s, 'valid')['miou'] for s in (EYES_LIPS, FACE)}}
    trained = {'file': scores} | {name: phase(runs/name) for name in PHASES[dest.stem]}
    write_json(TRAINING, (read_json(TRAINING) if TRAINING.exists() else {}) | {dest.stem: trained})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('faces', type=Path)
    parser.add_argument('--work', type=Path, default=Path('model'), help='where packed photos and runs are kept')
    parser.add_argument('--dest', type=Path, help='the file (default: where the package has its models)')
    parser.add_argument('--student', action='store_true', help='the small model')
    args = parser.parse_args()
    name, runs = ('small', args.work/'student') if args.student else ('face', args.work)
    done: list[Path] = []
    for phase_name, (task, recipe) in PHASES[name].items():
        started = replace(recipe, start=str(done[-1]) if done else None)
        done.append(runs/phase_name)
        train_task(task, started, packed_at(recipe.size, args.faces, args.work).path, done[-1])
    packed = packed_at(SECOND.size, args.faces, args.work)
    dest = args.dest or ROOT/f'facemask_seg/models/{name}.safetensors'
    write(done[-1], packed, dest, [recipe.to_dict() for _, recipe in PHASES[name].values()][:-1],
          SIZES[name])
    if not args.dest: note(runs, packed, dest)


if __name__ == '__main__': main()
