"""The last phases: whole photos, which the network sees larger than their masks are.

What it answers is compared at the size of the masks, so nothing that a person has drawn is resized. Small things gain
from it (Touvron et al. 2019, Fixing the train-test resolution discrepancy). The network that ships is asked at the
larger size, with `predict.Resized`. In the phase with a teacher, taught.py says what is to be answered about unions.
"""
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

import squares
import taught
from facemask_seg.losses import LOSSES
from facemask_seg.predict import seen_at
from facemask_seg.train import STANDARD, Recipe, Run, make_model
from facemask_seg.unet import ResNet34UNet

TIMES = 1.125


class Wider(ResNet34UNet):
    "A network that sees photos at `TIMES` their size; its answer has theirs."
    def forward(self, x: Tensor) -> Tensor:
        return seen_at(round(TIMES * x.shape[-1]), super().forward, x)


def model(recipe: Recipe, device: torch.device, start: bool) -> nn.Module:
    "The recipe's network, which sees larger photos."
    network = make_model(recipe, device, start)
    network.__class__ = Wider
    return network


class Taught:
    "What is left of an epoch: photos, and what is to be answered about classes and unions, one upon the other."
    def __init__(self, run: Run) -> None: self.run = run

    def __len__(self) -> int:
        return len(self.run.splits['train']) // self.run.recipe.batch_size - self.run.batches_done

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for photos, masks, wanted in taught.answered(self.run, self.run.batches_done):
            yield photos, torch.cat([masks[:, None], wanted], 1)


def loss(recipe: Recipe) -> Callable:
    "Of classes the recipe's, with masks; of unions that of taught.py."
    classes, unions = LOSSES[recipe.loss], taught.union_loss(recipe)
    def both(logits: Tensor, wanted: Tensor) -> Tensor:
        masks, shares = wanted[:, 0].long(), wanted[:, 1:]
        return classes(logits, masks, recipe.class_weights) + unions(logits, shares)
    return both


TASK = STANDARD._replace(model=model, score=squares.score, best=squares.TASK.best)
TAUGHT = TASK._replace(batches=Taught, loss=loss, finish=taught.finish)
