"""A phase of training with a teacher: the network that the phase starts from, with more time to look.

The teacher sees each photo at two sizes, and its mirror image at both, if it has learned from such; the mean of its
answers is better than any of them. From squares around eyes and lips a network learns to answer like that at one look.
What it is to answer is a mixture of what the teacher says and what the mask says. Whole photos come in turn with the
squares, as in squares.py.
"""
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import squares
from facemask_seg.data import FaceDataset, batches, recolor
from facemask_seg.files import atomic, show_progress
from facemask_seg.loop import evaluate, forward, predict_probabilities
from facemask_seg.losses import UNION_WEIGHT, merge_logits, unions_of
from facemask_seg.predict import Merged, Mirrored, seen_at
from facemask_seg.train import STANDARD, Recipe, Run

LOOKS = 1, 1.25                         # How large the teacher sees a photo
SHARE = .6                              # The teacher's, of what is to be answered; the rest is the mask's
MIDDLES = (146, 174), (108, 148)        # Rows and columns in which the middle of a square is, in photos of 256 px
TURN, LARGER, COLOR = 12, 1.25, .3      # At most: degrees, times as large or as small, times as bright and the like
ANSWERS = 'teacher.npy'                 # In the folder of the run, while it goes on


class Teacher(nn.Module):
    "What a run starts from: it sees photos at several sizes, perhaps mirrored, too; its answer is the mean of all."
    def __init__(self, run: Run) -> None:
        super().__init__()
        recipe, self.size = run.recipe, run.splits['train'].size
        network = Merged(run.task.model(recipe, run.device, True), recipe.scheme, recipe.unions)
        self.model = network if recipe.augment == 'none' else Mirrored(network, recipe.unions)

    def look(self, x: Tensor, times: float) -> Tensor:
        return seen_at(round(times * self.size), lambda larger: predict_probabilities(self.model(larger)), x)

    def forward(self, x: Tensor) -> Tensor:
        return (sum(self.look(x, times) for times in LOOKS) / len(LOOKS)).log()


@torch.inference_mode()
def ask(run: Run, path: Path) -> None:
    "Write what the teacher says about each photo for training: bytes (N, classes but background, S, S), 255 is sure."
    unions, photos, teacher = run.recipe.unions, run.splits['train'], Teacher(run).eval()
    data = FaceDataset(run.packed, photos.indices.tolist(), unions, photos.size)
    with atomic(path) as temporary:
        shape = len(data), unions.n_classes - 1, photos.size, photos.size
        answers, done = np.lib.format.open_memmap(temporary, 'w+', np.uint8, shape), 0
        for x, _ in show_progress(batches(data, 8), 'teacher', run.progress):
            logits = forward(teacher, x, stats=run.stats, device=run.device, precision=run.precision)
            answers[done:done+len(x)] = (255 * logits[:, 1:].exp()).round().to(torch.uint8).cpu()
            done += len(x)
        answers.flush()


def answered(run: Run, done: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    "Photos, their masks, and the share of each union in what is to be answered: what is left of an epoch."
    if not (run.path/ANSWERS).exists(): ask(run, run.path/ANSWERS)
    recipe, train, table = run.recipe, run.splits['train'], run.recipe.unions.lookup_from(run.recipe.scheme)
    answers = np.load(run.path/ANSWERS, mmap_mode='r', allow_pickle=False)
    order = np.random.default_rng([recipe.seed, run.epoch]).permutation(len(train))
    data = FaceDataset(run.packed, train.indices[order].tolist(), recipe.scheme, train.size)
    loaded = batches(data, recipe.batch_size, workers=run.workers, drop_last=True, first=done)
    for i, (photos, masks) in enumerate(loaded, done):
        said = torch.from_numpy(answers[order[i*len(masks):][:len(masks)]]) / 255
        said = torch.cat([1 - said.sum(1, keepdim=True), said], 1).clamp(0, 1)
        known = F.one_hot(torch.from_numpy(table)[masks.long()].long(), recipe.unions.n_classes).movedim(-1, 1)
        yield photos, masks, torch.lerp(known.float(), said, SHARE)


class Taught(squares.InTurn):
    "Squares, with the share of each class in what is to be answered, in turn with whole photos and their masks."
    def squares(self, run: Run, done: int) -> Iterator[tuple[Tensor, Tensor]]:
        for i, (photos, _, wanted) in enumerate(answered(run, done), done):
            draw = np.random.default_rng([run.recipe.seed, run.epoch, i])
            yield changed(*mirrored(photos, wanted, run.recipe, draw), draw, self.calm)


def mirrored(photos: Tensor, wanted: Tensor, recipe: Recipe, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
    "Half of the photos, and what is to be answered about them, in a mirror."
    turned = torch.from_numpy(draw.random(len(photos)) < .5)[:, None, None, None]
    swapped = wanted.flip(-1)[:, recipe.unions.flip_lookup().tolist()]
    return torch.where(turned, photos.flip(-1), photos), torch.where(turned, swapped, wanted)


def changed(photos: Tensor, wanted: Tensor, draw: np.random.Generator, calm: bool) -> tuple[Tensor, Tensor]:
    "A square of each: as it is if `calm`, otherwise turned, of another size and in other colours."
    n, size = len(photos), photos.shape[-1]
    rows, columns = (draw.integers(*span, n) if calm else draw.uniform(*span, n) for span in MIDDLES)
    turn, times = np.deg2rad(draw.uniform(-TURN, TURN, n)), LARGER**draw.uniform(-1, 1, n)
    if calm: turn, times = np.zeros(n), np.ones(n)
    cos, sin = (f(turn) / times * (squares.SIDE / size) for f in (np.cos, np.sin))
    places = np.stack([cos, sin, 2*columns/size - 1, -sin, cos, 2*rows/size - 1], 1).reshape(n, 2, 3)
    grid = F.affine_grid(torch.from_numpy(places).float(), [n, 1, squares.SIDE, squares.SIDE], align_corners=False)
    both = F.grid_sample(torch.cat([photos.float(), wanted], 1), grid, padding_mode='border', align_corners=False)
    photos, wanted = both[:, :3].round().to(torch.uint8), both[:, 3:]
    if calm: return photos, wanted
    kinds = torch.from_numpy(draw.permuted(np.tile(np.arange(3), (n, 1)), axis=1))
    factors = torch.from_numpy(draw.uniform(1 - COLOR, 1 + COLOR, (n, 3))).float()
    return recolor(photos, kinds, factors), wanted


def union_loss(recipe: Recipe) -> Callable:
    "The question about unions, where shares of them are to be answered: cross-entropy and Dice."
    unions = unions_of(recipe.scheme, recipe.unions)
    def part(logits: Tensor, wanted: Tensor) -> Tensor:
        merged = merge_logits(logits.float(), unions)
        found = merged.softmax(1)
        overlap, sizes = (t.sum((0, 2, 3)) for t in (found * wanted, found + wanted))
        missed = 1 - 2 * overlap / sizes.clamp_min(1e-7)
        return UNION_WEIGHT * (F.cross_entropy(merged, wanted) + missed.mean())
    return part


def loss(recipe: Recipe) -> Callable:
    "Of squares cross-entropy and Dice, both with shares of classes; of whole photos what squares.py takes."
    whole, part = squares.loss(recipe), union_loss(recipe)
    def both(logits: Tensor, wanted: Tensor) -> Tensor:
        if not wanted.is_floating_point(): return whole(logits, wanted)
        return squares.evenly(recipe, wanted) * part(logits, wanted)
    return both


def finish(run: Run) -> dict:
    "What the trainer always does, and how good the teacher was on the photos to choose by."
    (run.path/ANSWERS).unlink(missing_ok=True)
    data = FaceDataset(run.packed, run.splits['valid'].indices.tolist(), run.recipe.unions)
    found = evaluate(Teacher(run), batches(data, 8), run.recipe.unions, stats=run.stats, device=run.device,
                     precision=run.precision, progress=run.progress)
    return STANDARD.finish(run) | {'teacher': found['miou']}


TASK = squares.TASK._replace(batches=Taught, loss=loss, finish=finish)
