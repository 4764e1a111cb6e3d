"""What the scripts beside this one share: something to spoil, a command that is watched, a table."""
import contextlib, io, os, pickle, shlex, signal, sys, tempfile, time, traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.update(TQDM_DISABLE='1', OMP_NUM_THREADS='1')
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))    # the package of this repository

TINY = shlex.split('--model tiny_unet --size 32 --batch-size 4 --epochs 1 --augment none --precision fp32 --device cpu')
MODEL = shlex.split('--weights run --device cpu --faces one')


class Gift:
    "A pickle that leaves a file behind if anybody opens it."
    def __reduce__(self): return exec, ('open("gift.txt", "w").write("I was here")',)

GIFT = pickle.dumps(Gift())


def object_array() -> bytes:
    "A .npy file of objects, which holds a pickle: as `np.save` writes it, where it is told to."
    from numpy.lib import format
    f = io.BytesIO()
    format.write_array_header_1_0(f, {'descr': '|O', 'fortran_order': False, 'shape': (1,)})
    return f.getvalue() + pickle.dumps([Gift()])


def asked_short() -> bool:
    "Whether a script was called with --short; --help prints what the script says of itself, and ends it."
    if {'-h', '--help'} & {*sys.argv[1:]}:
        print(sys.modules['__main__'].__doc__)
        sys.exit()
    return '--short' in sys.argv


def environment(**more: str) -> dict[str, str]:
    "For a child process: it finds what this one finds."
    found = [*sys.path[:2], os.environ.get('PYTHONPATH', '')]
    return os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, found))} | more


def kept(pid: int | str, *kinds: str) -> int:
    "Bytes of these kinds that a process keeps, by Linux's /proc."
    lines = Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(tuple(f'{kind}:' for kind in kinds)))


class Hang(BaseException):
    "A command did not come back. Not an `Exception`, so that nobody catches it."


@dataclass
class Outcome:
    "What a command did."
    code: int | None  # None: it ended in a traceback
    out: str
    err: str


def command(*words: object, limit: int = 60) -> Outcome:
    "Run `facemask-seg WORDS` in this process; a traceback and a hang are outcomes too."
    from facemask_seg.cli import main
    def bark(*_): raise Hang(f'nothing happened for {limit} s')
    streams = [io.TextIOWrapper(io.BytesIO(), 'utf-8', errors) for errors in ('strict', 'backslashreplace')]
    before = signal.signal(signal.SIGALRM, bark)
    signal.alarm(limit)
    try:
        with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
            code: int | None = main([str(w) for w in words])
    except (Exception, Hang):
        code = None
        streams[1].write(traceback.format_exc())
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    texts = []
    for s in streams:
        s.flush()
        texts.append(s.buffer.getvalue().decode())
    return Outcome(code, *texts)


def make_material(folder: Path) -> None:
    "Twelve drawn faces as files and packed, a photo, and a small network that was trained on them for a moment."
    from facemask_seg.convert import pack
    from facemask_seg.faces import draw_face, write_faces
    from PIL import Image
    write_faces(folder/'faces', 12, size=48)
    pack(folder/'faces', folder/'packed', size=32, progress=False)
    Image.fromarray(draw_face(3, 64, None)[0]).save(folder/'photo.png')
    with moved_to(folder): done = command('train', 'packed', '--run', 'run', *TINY)
    assert done.code == 0, done.err


@contextlib.contextmanager
def moved_to(folder: Path) -> Iterator[Path]:
    "Work in `folder` for a while."
    before = Path.cwd()
    os.chdir(folder)
    try: yield folder
    finally: os.chdir(before)


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    "A temporary folder, where the work is."
    with tempfile.TemporaryDirectory(prefix='faults-') as folder, moved_to(Path(folder)) as here: yield here


def contents(folder: Path) -> dict[str, bytes]:
    "Every ordinary file below `folder`, but locks."
    files = (p for p in folder.rglob('*') if not p.is_symlink() and p.is_file() and p.name != '.lock')
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


class Table:
    "Lines on standard output, and a count of what went wrong."
    def __init__(self): self.good, self.wrong, self.began = 0, 0, time.time()

    def add(self, what: str, how: str, problem: str = '') -> None:
        "One line; more when there is a problem."
        self.good, self.wrong = self.good + (not problem), self.wrong + bool(problem)
        print(f'{"WRONG" if problem else "ok":6}{what:54}{how}', flush=True)
        if problem: print(' '*6 + problem.strip().replace('\n', '\n' + ' '*6), flush=True)

    def close(self) -> int:
        "The last line; the exit code."
        print(f'{self.good} as they should be, {self.wrong} wrong, {time.time()-self.began:.0f} s')
        return bool(self.wrong)
