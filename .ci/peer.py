"""The same network by others, in our loop.

python .ci/peer.py PACKED [--epochs 24] [--seeds 3] [--size 128] [--results results]

segmentation_models_pytorch's Unet on a ResNet34, trained by `BASELINE` and stored as runs called `smp_unet`,
beside ours.
"""
import argparse
from dataclasses import replace
from pathlib import Path

from torch import nn

from common import ROOT
from facemask_seg.unet import MODELS


def smp_unet(n_classes: int) -> nn.Module:
    "As `MODELS` wants it: random weights, logits."
    import segmentation_models_pytorch as smp
    return smp.Unet('resnet34', encoder_weights=None, classes=n_classes)


MODELS['smp_unet'] = smp_unet   # before recipes are defined: they know the networks that are there
from facemask_seg.experiments import BASELINE, prepare, run_recipe  # noqa: E402

PEER = replace(BASELINE, model='smp_unet')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('packed', type=Path)
    parser.add_argument('--epochs', type=int, default=24)
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--size', type=int, default=128)
    parser.add_argument('--results', type=Path, default=ROOT/'results')
    parser.add_argument('--runs', type=Path, default=Path('runs'))
    args = parser.parse_args()
    for seed in range(args.seeds):
        recipe = prepare(PEER, seed=seed, size=args.size, epochs=args.epochs)
        run_recipe('smp_unet', recipe, args.packed, args.results, args.runs)


if __name__ == '__main__': main()
