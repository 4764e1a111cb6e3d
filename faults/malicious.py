"""Files that would run a program if they were unpickled, in every place where a file from somebody else is read.

    python faults/malicious.py

Each must be refused in one line, and must not have run: the gift would leave a file behind, and Python's audit hook
would have told of any unpickling at all. First the control: a gift holds a call of its program, and the program
leaves its file.
"""
import io, pickle, pickletools, shutil, sys, zipfile
from pathlib import Path

from common import GIFT, MODEL, TINY, Gift, Table, command, make_material, object_array, workplace

FOUND: list[str] = []   # What was unpickled
sys.addaudithook(lambda event, args: FOUND.append(str(args)) if event == 'pickle.find_class' else None)


def as_zip() -> bytes:
    "As torch.save writes it."
    f = io.BytesIO()
    with zipfile.ZipFile(f, 'w') as z: z.writestr('archive/data.pkl', GIFT)
    return f.getvalue()


GIFTS = {'a pickle': GIFT, 'an old pickle': pickle.dumps(Gift(), protocol=0), 'a torch.save file': as_zip(),
         'an array of objects': object_array()}
RESNET = ['--epochs', '1', '--size', '32', '--precision', 'fp32', '--device', 'cpu']
WITH_WEIGHTS = ['predict', 'photo.png', '--out', 'out', '--faces', 'one', '--device', 'cpu', '--weights']
PLACES: dict[str, tuple[str, list]] = {  # What it is called: where the gift lies, and the command that meets it
    'images.npy': ('packed/images.npy', ['train', 'packed', '--run', 'new', *TINY]),
    'masks.npy': ('packed/masks.npy', ['evaluate', 'packed', '--weights', 'run', '--device', 'cpu']),
    'manifest.json': ('packed/manifest.json', ['train', 'packed', '--run', 'new', *TINY]),
    'masks.npy, packed again': ('packed/masks.npy', ['convert', 'packed', 'new', '--size', '16']),
    'a journal': ('new/unfinished.jsonl', ['convert', 'faces', 'new', '--size', '32']),
    'a photo': ('x.jpg', ['predict', 'x.jpg', '--out', 'out', *MODEL]),
    'a scheme': ('s.json', ['convert', 'faces', 'new', '--scheme', 's.json']),
    'a recipe': ('r.json', ['train', 'packed', '--run', 'new', '--recipe', 'r.json', *TINY]),
    'the recipe of a run': ('run/recipe.json', ['train', 'packed', '--run', 'run', *TINY]),
    'the result of a run': ('run/result.json', ['train', 'packed', '--run', 'run', *TINY]),
    'the weights of a run': ('run/best.safetensors', ['predict', 'photo.png', '--out', 'out', *MODEL]),
    'a resume file': ('run/resume.safetensors', ['train', 'packed', '--run', 'run', *TINY]),
    'a resume file of an old version': ('run/resume.pt', ['train', 'packed', '--run', 'run', *TINY]),
    'an encoder': ('x.safetensors', ['train', 'packed', '--run', 'new', *RESNET, '--weights', 'x.safetensors']),
    'a start': ('x.safetensors', ['train', 'packed', '--run', 'new', *TINY, '--start', 'x.safetensors']),
    'the encoder of an experiment': (
        'x.pth', ['experiment', 'unfreezing', '--data', 'packed', '--encoder', 'x.pth', *RESNET[:2],
                  '--results', 'results', '--device', 'cpu']),
    "the report's masks": (
        'other/masks.npy', ['experiment', 'autopsy', '--data', 'packed', '--report-masks', 'other', *RESNET[:2],
                            '--results', 'results', '--device', 'cpu']),
    'a stored run': ('results/runs/x.json', ['experiment', '--list', '--results', 'results']),
} | {f'weights called x{end}': (f'x{end}', [*WITH_WEIGHTS, f'x{end}'])
     for end in ('.pt', '.pth', '.pkl', '.bin', '.ckpt', '.safetensors')}


def check(material: Path, file: str, words: list, gift: bytes) -> str:
    "Put the gift where a file is expected, run the command; what is wrong with how that ended."
    with workplace() as here:
        shutil.copytree(material, here, dirs_exist_ok=True)
        shutil.copytree('packed', 'other')
        path = Path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gift)
        if path.parent.name == 'run' and path.name.startswith('resume'): Path('run/result.json').unlink()
        if path.name == 'resume.pt': Path('run/best.safetensors').unlink()
        FOUND.clear()
        done = command(*words)
        lines = [line for line in done.err.splitlines() if 'error: ' in line]
        if Path('gift.txt').exists() or FOUND: return f'IT RAN: {FOUND}'
        if done.code != 2 or len(lines) != 1: return f'exit code {done.code}: {done.err[-800:]}'
        return '' if file in lines[0] or path.parent.name in lines[0] else f'does not name {file}: {lines[0]}'


def inside(gift: bytes) -> bytes:
    "The pickle in a gift."
    if gift[:2] == b'PK': return zipfile.ZipFile(io.BytesIO(gift)).read('archive/data.pkl')
    return gift.partition(b'\n')[2] if gift[:6] == b'\x93NUMPY' else gift


def control() -> str:
    """Whoever opens a gift runs the program, which leaves its file, and is heard.
    Told from what it says: nothing is opened."""
    run, arguments = Gift().__reduce__()
    FOUND.clear()
    sys.audit('pickle.find_class', 'builtins', 'exec')
    if not FOUND: return 'the audit hook hears nothing'
    with workplace():
        run(*arguments)
        if not Path('gift.txt').exists(): return 'the program leaves no file'
    for name, gift in GIFTS.items():
        steps = [(step.name, argument) for step, argument, _ in pickletools.genops(inside(gift))]
        said = ' '.join(str(argument) for _, argument in steps)
        if not ('exec' in said and arguments[0] in said and any(step == 'REDUCE' for step, _ in steps)):
            return f'{name} runs nothing'
    return ''


def main() -> int:
    "All gifts in all places; the exit code."
    table = Table()
    table.add('control: a gift would run where it is opened', f'{len(GIFTS)} ways', control())
    with workplace() as material:
        make_material(material)
        for what, (file, words) in PLACES.items():
            wrong = {name: problem for name, gift in GIFTS.items() if (problem := check(material, file, words, gift))}
            table.add(what, f'{len(GIFTS)} gifts refused', '\n'.join(f'{k}: {v}' for k, v in wrong.items()))
    return table.close()


if __name__ == '__main__': sys.exit(main())
