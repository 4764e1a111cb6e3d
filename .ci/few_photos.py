"""What few photos make of a network, from random weights and from the package's model: python .ci/few_photos.py

Drawn faces: 17 to train on, 2 to choose by, 30 to test. The mIoU of each seed goes to results/few_photos.json, which
two pages read. Five minutes of one core's time, and some more of waiting for the disk.
"""
import tempfile
from dataclasses import replace

from common import ROOT
from facemask_seg.convert import pack_drawn
from facemask_seg.files import write_json
from facemask_seg.train import DEFAULT, fit

PHOTOS, CHOOSE, TEST, SEEDS = 17, 2, 30, (0, 1, 2)
PLAIN = replace(DEFAULT, train=PHOTOS, valid=CHOOSE, test=TEST)
RECIPES = {'default': PLAIN, 'from_shipped': replace(PLAIN, start='shipped', epochs=60, batch_size=4)}


def main() -> None:
    found: dict = {'photos': PHOTOS, 'test': TEST}
    with tempfile.TemporaryDirectory() as tmp:
        pack_drawn(f'{tmp}/faces', PHOTOS + CHOOSE + TEST, size=PLAIN.size, progress=False)
        for name, recipe in RECIPES.items():
            runs = [fit(replace(recipe, seed=s), f'{tmp}/faces', f'{tmp}/{name}-{s}', progress=False) for s in SEEDS]
            found[name] = {'epochs': recipe.epochs, 'batch_size': recipe.batch_size, 'miou': [r['miou'] for r in runs]}
            print(name, found[name], flush=True)
    write_json(ROOT/'results/few_photos.json', found)


if __name__ == '__main__': main()
