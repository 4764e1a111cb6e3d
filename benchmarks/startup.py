"""Start-up: how long `import facemask_seg` and `facemask-seg --help` take, in new processes.

The peers are Python itself, which starts before anything of ours does, and the import of torch and of
segmentation_models_pytorch.
"""
import os, subprocess, sys

from common import ROOT, claim, in_turns, options, report

CODE = {'python itself': 'pass',
        'import facemask_seg': 'import facemask_seg',
        'facemask-seg --help': 'from facemask_seg.cli import main; main(["--help"])',
        'facemask-seg predict --help': 'from facemask_seg.cli import main; main(["predict", "--help"])',
        'facemask-seg train --help (needs torch)': 'from facemask_seg.cli import main; main(["train", "--help"])',
        'from facemask_seg import Segmenter': 'from facemask_seg import Segmenter',
        'import torch': 'import torch',
        'import segmentation_models_pytorch': 'import segmentation_models_pytorch'}


def start(code: str):
    "A function that runs `code` in a new Python."
    env = os.environ | {'PYTHONPATH': str(ROOT)}
    return lambda: subprocess.run([sys.executable, '-c', code], env=env, check=True, stdout=subprocess.DEVNULL)


if __name__ == '__main__':
    args = options(__doc__)
    seconds = in_turns({name: start(code) for name, code in CODE.items()}, args.rounds or (1 if args.quick else 7))
    bare = seconds['python itself']
    rows = [{'what': k, 'seconds': s, 'without Python itself': s - bare} for k, s in seconds.items()]
    claims = [claim('facemask-seg --help', seconds['facemask-seg --help'], .5, 'seconds', least=False),
              claim('import facemask_seg, without Python itself', seconds['import facemask_seg'] - bare, .1, 'seconds',
                    least=False)]
    report('startup', args, {'Start-up': rows}, claims)
