"""Conversion: photos of 1024 px with masks of their parts into training data of 256 px, and the memory that it takes.

The peer is the way of the report's script: OpenCV decodes every photo and the four masks into a dict, everything is
stacked, and saved. (Our masks are better: each pixel goes to the part that covers most of it, and nothing is added in
8 bits.)
"""
import shutil, subprocess, sys
from pathlib import Path

import numpy as np

from common import ROOT, claim, faces, in_turns, options, report, scratch

SIZE, PARTS = 256, ('l_eye', 'r_eye', 'u_lip', 'l_lip')
PHOTOS, MASKS = 'CelebA-HQ-img', 'CelebAMask-HQ-mask-anno'


def copies(source: Path, dest: Path, n: int) -> None:
    "The layout again with n photos: hard links to copies of the real ones, under new numbers."
    (dest/PHOTOS).mkdir(parents=True)
    (dest/MASKS/'0').mkdir(parents=True)
    known = sorted((source/PHOTOS).glob('*.jpg'), key=lambda p: int(p.stem))
    parts = {int(p.stem): list((source/MASKS).glob(f'*/{int(p.stem):05}_*.png')) for p in known}
    for i in range(n):
        photo = known[i % len(known)]
        folder = dest/MASKS/str(i // 2000)
        folder.mkdir(exist_ok=True)
        shutil.copyfile(photo, dest/PHOTOS/f'{i}.jpg')
        for part in parts[int(photo.stem)]: shutil.copyfile(part, folder/f'{i:05}_{part.stem.partition("_")[2]}.png')


def as_the_report(source: Path, dest: Path) -> None:
    "Decode into a dict, stack, save."
    import cv2
    found = {}
    for photo in sorted((source/PHOTOS).glob('*.jpg'), key=lambda p: int(p.stem)):
        number = int(photo.stem)
        image = cv2.resize(cv2.imread(str(photo)), (SIZE, SIZE))
        mask = np.zeros((SIZE, SIZE), np.uint8)
        for part in PARTS:
            path = source/MASKS/str(number // 2000)/f'{number:05}_{part}.png'
            if path.exists(): mask += cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), (SIZE, SIZE))
        found[number] = image, mask > 1
    dest.mkdir(exist_ok=True)
    np.save(dest/'images.npy', np.stack([image for image, _ in found.values()]))
    np.save(dest/'masks.npy', np.stack([mask for _, mask in found.values()]))


def ours(source: Path, dest: Path, workers: int | None) -> None:
    "`convert.pack`."
    from facemask_seg.convert import pack
    shutil.rmtree(dest, ignore_errors=True)
    pack(source, dest, size=SIZE, workers=workers, progress=False)


def memory(source: Path | str = '', dest: Path | str = '') -> float:
    "MiB at the peak of a process of its own that packs; without a source, of one that only imports what packs."
    work = f'pack(sys.argv[1], sys.argv[2], size={SIZE}, progress=False)' if dest else 'None'
    # Linux hands `ru_maxrss` of the process that started this one down to it, but not VmHWM
    code = ('import re, resource, sys; from pathlib import Path; from facemask_seg.convert import pack; '
            f'{work}; status = Path("/proc/self/status"); '
            'print(re.search("VmHWM:\\s*([0-9]+)", status.read_text())[1] if status.exists() '
            'else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)')
    done = subprocess.run([sys.executable, '-c', code, source, dest], capture_output=True, text=True, cwd=ROOT,
                          check=True)
    return int(done.stdout.split()[-1]) / (1024 if sys.platform != 'darwin' else 2**20)


if __name__ == '__main__':
    args = options(__doc__)
    if faces() is None: sys.exit('this benchmark needs FACEMASK_DATA: the folder that holds celebamask-hq-layout')
    n = 8 if args.quick else 120
    with scratch() as tmp:
        tmp = Path(tmp)
        copies(faces(), tmp/'source', n)
        ways = {"the report's way, OpenCV": lambda: as_the_report(tmp/'source', tmp/'report'),
                'ours, no helper': lambda: ours(tmp/'source', tmp/'alone', 0),
                'ours': lambda: ours(tmp/'source', tmp/'ours', None)}
        seconds = in_turns(ways, args.rounds or (1 if args.quick else 3))
        start, peak = memory(), memory(tmp/'source', tmp/'once')
        half = n // 4
        copies(faces(), tmp/'few', half)
        less = memory(tmp/'few', tmp/'few-packed')
    first = seconds["the report's way, OpenCV"]
    rows = [{'1024 px to 256 px': k, 'photos a second': n / s, "times the report's speed": first / s}
            for k, s in seconds.items()]
    memories = [{'a process that packs': k, 'MiB at its peak': v, 'beyond the imports': v - start} for k, v in
                {'nothing, it only imports (PyTorch too)': start, f'{half} photos': less, f'{n} photos': peak}.items()]
    report('convert', args, {'Conversion': rows, 'Memory': memories},
           [claim("conversion, against the report's way", first / seconds['ours'], 3.),
            claim(f'memory of {n} photos, beyond the imports', peak - start, 400, 'MiB', least=False)])
