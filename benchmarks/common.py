"What the benchmarks share: their flags, the data they use, the machine they ran on, how they report."
import argparse, json, os, platform, sys, tempfile
from collections.abc import Callable
from datetime import date
from importlib import metadata
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from facemask_seg.deploy import take_turns  # noqa: E402


def flags(words: str, device: bool = False) -> argparse.ArgumentParser:
    "The flags of every benchmark; `words` says what it measures; with `device`, where."
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument('--quick', action='store_true',
                        help='few rounds of little work: does it run? (nothing is stored)')
    parser.add_argument('--rounds', type=int, help='how often everything is measured, in turns')
    parser.add_argument('--results', default=ROOT/'results'/'benchmarks', type=Path, help='folder for the JSON')
    parser.set_defaults(device='cpu')
    if device:
        parser.add_argument('--device',
                            help='cpu or cuda (default: %(default)s); the JSON of a GPU has a name of its own')
    return parser


def options(words: str, device: bool = False) -> argparse.Namespace:
    "What the command line says."
    return flags(words, device).parse_args()


def on(device: str, work: Callable) -> Callable:
    "`work`, and the wait until a GPU has done it."
    if device == 'cpu': return work
    import torch
    def done():
        work()
        torch.cuda.synchronize(device)
    return done


def where(args: argparse.Namespace) -> str:
    "What a claim says about the device: nothing for a CPU."
    return '' if args.device == 'cpu' else f', {args.device}'


def faces() -> Path | None:
    "The folder of real photos of 1024 px in CelebAMask-HQ's layout, if the environment names one."
    folder = Path(os.environ.get('FACEMASK_DATA', 'nowhere'))/'celebamask-hq-layout'
    return folder if folder.is_dir() else None


def scratch() -> tempfile.TemporaryDirectory:
    "A folder that is gone afterwards."
    return tempfile.TemporaryDirectory(prefix='facemask_seg_benchmark_')


def in_turns(ways: dict[str, Callable], rounds: int) -> dict[str, float]:
    "Seconds: the median of each way over rounds in which every way runs once."
    return {name: median(seconds) for name, seconds in take_turns(ways, rounds).items()}


def claim(text: str, value: float, target: float, unit: str = 'times', least: bool = True) -> dict:
    "Something promised: `value` should be at least (or at most) `target`."
    met = value >= target if least else value <= target
    return dict(claim=text, value=round(value, 4), target=target, unit=unit, least=least, met=bool(met))


def machine(device: str = 'cpu') -> dict:
    "What the numbers depend on."
    import torch
    from facemask_seg.loop import cpu_has_bf16
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    names = [l.partition(':')[2].strip() for l in lines if l.startswith('model name')]
    load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else 0.
    gpu = {} if device == 'cpu' else {'gpu': torch.cuda.get_device_name(device)}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    versions = {p: version(p) for p in ('torch', 'segmentation_models_pytorch', 'opencv-python', 'pillow')}
    return dict(date=date.today().isoformat(), processor=(names or [platform.processor()])[0], cores=cores,
                threads=torch.get_num_threads(), bf16=cpu_has_bf16(), load=round(load, 1), versions=versions, **gpu)


def version(package: str) -> str:
    "The installed version, or a dash."
    try: return metadata.version(package)
    except metadata.PackageNotFoundError: return '-'


def table(rows: list[dict]) -> str:
    "Rows with the same keys as lines; the first column is words, the others are numbers."
    text = [list(rows[0])] + [[f'{v:.4g}' if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*text)]
    return '\n'.join(
        '  '.join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths)))
        for line in text)


def report(name: str, args: argparse.Namespace, tables: dict[str, list[dict]], claims: list[dict],
           notes: list[str] = []) -> None:
    "Print everything, and store it as JSON unless it was a quick run."
    about = machine(args.device)
    if args.device != 'cpu': name = f'{name}-{args.device.replace(":", "")}'
    print(f'{name}: {about.get("gpu", "")} {about["processor"]}, {about["cores"]} cores, {about["threads"]} threads, '
          f'torch {about["versions"]["torch"]}, load {about["load"]}')
    for title, rows in tables.items(): print(f'\n{title}\n{table(rows)}')
    print()
    for c in claims:
        print(f'{"met " if c["met"] else "MISSED"} {c["claim"]}: {c["value"]:.3g} {c["unit"]}, '
              f'promised {"at least" if c["least"] else "at most"} {c["target"]:g}')
    for note in notes: print(note)
    if args.quick: return print('\nquick: nothing stored')
    args.results.mkdir(parents=True, exist_ok=True)
    text = json.dumps(dict(benchmark=name, machine=about, tables=tables, claims=claims, notes=notes), indent=1)
    (args.results/f'{name}.json').write_text(text + '\n', encoding='utf-8')
    print(f'\nstored as {name}.json')
