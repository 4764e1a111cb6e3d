"""A phase of training for eyes and lips: squares of 128 px around them, in turn with a few whole photos.

Nearly all that these are in is in the squares, which cost a quarter of the time. Whole photos keep the network from
forgetting hair and neck, which no square shows.
"""
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from facemask_seg.data import FaceDataset, batches
from facemask_seg.labels import EYES_LIPS, Scheme
from facemask_seg.loop import evaluate
from facemask_seg.losses import LOSSES, UNION_WEIGHT, merge_logits, unions_of
from facemask_seg.packed import Packed
from facemask_seg.predict import Merged
from facemask_seg.train import STANDARD, Recipe, Run, loss_of, make_model

SIDE, TOPS, LEFTS = 128, (88, 117), (44, 85)    # Of squares in photos of 256 px
WHOLE = 4                                       # Whole photos beside a recipe's batch of squares; the two make one step
CALM = 8                                        # Epochs, the last ones, whose photos are only flipped


class Kept(nn.BatchNorm2d):
    "A batch norm that keeps its statistics: those of squares are not those of whole photos."
    def train(self, mode: bool = True) -> 'Kept': return super().train(False)


def model(recipe: Recipe, device: torch.device, start: bool) -> nn.Module:
    "The recipe's network, whose batch norms keep their statistics."
    network = make_model(recipe, device, start)
    for m in network.modules():
        if isinstance(m, nn.BatchNorm2d): m.__class__ = Kept
    return network


class InTurn:
    "What is left of an epoch: a batch of squares, a batch of whole photos, and so on."
    def __init__(self, run: Run) -> None:
        self.calm = run.epoch >= run.recipe.epochs - CALM
        done, steps = run.batches_done // 2, len(run.splits['train']) // run.recipe.batch_size
        self.left = steps - done
        self.near = self.squares(run, done)
        self.whole = self.photos(run, run.recipe.scheme, WHOLE, run.recipe.seed + 1, done)

    def photos(self, run: Run, scheme: Scheme, n: int, seed: int, done: int) -> Iterator[tuple[Tensor, Tensor]]:
        train, augment = run.splits['train'], 'flip' if self.calm else run.recipe.augment
        data = FaceDataset(run.packed, train.indices.tolist(), scheme, train.size, augment, seed)
        return iter(batches(data, n, shuffle=True, epoch=run.epoch, workers=run.workers, drop_last=True,
                            device=run.device, first=done))

    def squares(self, run: Run, done: int) -> Iterator[tuple[Tensor, Tensor]]:
        recipe, (low, high) = run.recipe, zip(TOPS, LEFTS)
        draw = np.random.default_rng([recipe.seed, run.epoch])
        corners = draw.integers(low, high, (done + self.left, recipe.batch_size, 2))[done:]
        photos = self.photos(run, recipe.unions, recipe.batch_size, recipe.seed, done)
        for parts, places in zip(photos, corners):
            yield tuple(torch.stack([x[..., top:top+SIDE, left:left+SIDE] for x, (top, left) in zip(part, places)])
                        for part in parts)

    def __len__(self) -> int: return 2 * self.left

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for pair in zip(self.near, self.whole): yield from pair


def evenly(recipe: Recipe, batch: Tensor) -> float:
    "What makes a batch of squares count as much as one of whole photos, although the trainer counts photos."
    return (recipe.batch_size + WHOLE) / 2 / len(batch)


def loss(recipe: Recipe) -> Callable:
    "Of whole photos the recipe's, of squares only the question about unions."
    whole, part, unions = loss_of(recipe), LOSSES[recipe.loss], unions_of(recipe.scheme, recipe.unions)
    def both(logits: Tensor, masks: Tensor) -> Tensor:
        if masks.shape[-1] != SIDE: return evenly(recipe, masks) * whole(logits, masks)
        return evenly(recipe, masks) * UNION_WEIGHT * part(merge_logits(logits.float(), unions), masks)
    return both


def scored(network: nn.Module, have: Scheme, want: Scheme, packed: Packed, ids: np.ndarray, **how) -> dict:
    "`evaluate` of a network that tells `have` apart, in the classes of `want`, on some photos."
    asked = network if want == have else Merged(network, have, want)
    return evaluate(asked, batches(FaceDataset(packed, ids.tolist(), want), 8), want, **how)


def score(run: Run) -> dict:
    "The usual scores, and that of eyes and lips."
    found = scored(run.judged, run.recipe.scheme, EYES_LIPS, run.packed, run.splits['valid'].indices, stats=run.stats,
                   device=run.device, precision=run.precision, progress=run.progress)
    return STANDARD.score(run) | {'eyes_lips': found['miou']}


TASK = STANDARD._replace(model=model, batches=InTurn, loss=loss, score=score, best=lambda row: row['eyes_lips'])
