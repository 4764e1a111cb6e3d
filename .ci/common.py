"What the scripts here share: where the project is, what settings.ini says, which notebooks there are."
import json, re, subprocess, sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT/'nbs'

config = ConfigParser(delimiters=['='])
config.read(ROOT/'settings.ini', encoding='utf-8')
cfg = config['DEFAULT']


def notebooks() -> list[Path]:
    "All notebooks of the project: chapters first, then the folders, in reading order."
    paths = [p for p in NBS.rglob('*.ipynb') if not any(part[0] in '._' for part in p.relative_to(NBS).parts)]
    return sorted(paths, key=lambda p: (p.parent, p.name))


def name(path: Path) -> str:
    "How the notebook at `path` is called in messages: its path in the project."
    return path.relative_to(ROOT).as_posix()


class Node(dict):
    "A part of a notebook: its keys as attributes, lists of lines joined."
    __getattr__ = dict.__getitem__

    def __init__(self, items):
        super().__init__((k, ''.join(v) if k in ('source', 'text') or k.startswith('text/') else v) for k, v in items)


def read(path: Path) -> Node:
    "The notebook at `path`."
    return json.loads(path.read_text(encoding='utf-8'), object_pairs_hook=Node)


def directive(cell, key: str) -> str | None:
    "The value of `#| key: value` in a cell, without quotes around it, or None."
    found = re.search(rf'^#\|\s*{key}\b:?[ \t]*(.*)$', cell.source, re.MULTILINE)
    return found and found[1].strip().strip('"')


def skipped(cell) -> bool:
    "Whether a cell is not to be run: not code, empty, or marked `#| eval: false`."
    return cell.cell_type != 'code' or not cell.source.strip() or directive(cell, 'eval') == 'false'


def tool(command: str, *args) -> None:
    "Run one of the tools of this environment in the project's folder."
    subprocess.run([Path(sys.executable).parent/command, *args], cwd=ROOT, check=True)
