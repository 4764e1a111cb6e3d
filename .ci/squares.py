"""A phase of training for eyes and lips: squares of 128 px around them, in turn with a few whole photos.

Nearly all that these are in is in the squares, which cost a quarter of the time. Whole photos keep the network from
forgetting hair and neck, which no square shows.
"""
from collections.abc import Callable, Iterator
from copy import copy

import numpy as np
import torch
from torch import Tensor, nn

from facemask_seg.data import FaceDataset, batches
from facemask_seg.labels import EYES_LIPS
from facemask_seg.loop import evaluate
from facemask_seg.losses import LOSSES, UNION_WEIGHT, merge_logits, unions_of
from facemask_seg.predict import Merged
from facemask_seg.train import STANDARD, Recipe, Run, loss_of, make_model

SIDE, TOPS, LEFTS = 128, (88, 117), (44, 85)    # Of squares in photos of 256 px
WHOLE = 4                                       # Whole photos beside a recipe's batch of squares; the two make one step
CALM = .25                                      # Share of the epochs, the last ones, whose photos are only flipped


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
        calm, size = run.epoch >= (1 - CALM) * run.recipe.epochs, run.recipe.batch_size
        done = run.batches_done // 2
        def load(n: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
            data = copy(run.splits['train'])
            data.augment, data.seed = 'flip' if calm else run.recipe.augment, seed
            return batches(data, n, shuffle=True, epoch=run.epoch, workers=run.workers, drop_last=True,
                           device=run.device, first=done)
        self.squares, self.whole = load(size, run.recipe.seed), load(WHOLE, run.recipe.seed + 1)
        draw, (low, high) = np.random.default_rng([run.recipe.seed, run.epoch]), zip(TOPS, LEFTS)
        self.corners = draw.integers(low, high, (len(run.splits['train']) // size, size, 2))[done:]

    def __len__(self) -> int: return 2 * len(self.corners)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for (photos, masks), whole, corners in zip(self.squares, self.whole, self.corners):
            yield tuple(torch.stack([x[..., top:top+SIDE, left:left+SIDE] for x, (top, left) in zip(part, corners)])
                        for part in (photos, masks))
            yield whole


def loss(recipe: Recipe) -> Callable:
    "Of whole photos the recipe's, of squares only the question about unions; both count the same, however many they are."
    whole, part = loss_of(recipe), LOSSES[recipe.loss]
    unions, table = unions_of(recipe.scheme, recipe.unions), torch.tensor(recipe.unions.lookup_from(recipe.scheme))
    def both(logits: Tensor, masks: Tensor) -> Tensor:
        same = (recipe.batch_size + WHOLE) / 2 / len(masks)
        if masks.shape[-1] != SIDE: return same * whole(logits, masks)
        return same * UNION_WEIGHT * part(merge_logits(logits.float(), unions), table.to(masks.device)[masks.long()])
    return both


def score(run: Run) -> dict:
    "The usual scores, and that of eyes and lips."
    valid = run.splits['valid']
    merged = Merged(run.judged, run.recipe.scheme, EYES_LIPS)
    photos = batches(FaceDataset(valid.packed, valid.indices, EYES_LIPS), 8, device=run.device)
    found = evaluate(merged, photos, EYES_LIPS, stats=run.stats, device=run.device, precision=run.precision,
                     progress=run.progress)
    return STANDARD.score(run) | {'eyes_lips': found['miou']}


TASK = STANDARD._replace(model=model, batches=InTurn, loss=loss, score=score, best=lambda row: row['eyes_lips'])
