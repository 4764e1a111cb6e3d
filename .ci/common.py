"What the scripts here share: where the project is, what settings.ini says, which notebooks there are."
import json, re, shutil, subprocess, sys
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


def number(path: Path) -> str:
    "The number of a notebook: its chapter's; nothing for a page without one."
    return path.stem.partition('_')[0] if path.stem[:2].isdigit() else ''


def title(path: Path) -> str:
    "A notebook's name on the site: its number and its title; a solution has its chapter's name."
    first = NBS/path.name if path.parent.name == 'solutions' else path
    words = read(first if first.exists() else path).cells[0].source.splitlines()[0].removeprefix('# ')
    return ' '.join(filter(None, [number(path), 'Solutions:' if path.parent.name == 'solutions' else '', words]))


def page_of(path: Path) -> str:
    """The page of the site that a notebook becomes, without an ending:
    nbdev's name, which has no number, so that links stay when chapters move."""
    return (path.relative_to(NBS).parent/re.sub(r'^\d+_', '', path.stem)).as_posix()


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


CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome') or ''


def modules() -> Path | None:
    "The folder whose node_modules has playwright-core, which drives Chromium; None if it is not installed."
    folders = (ROOT/'.venv', ROOT/'.ci', ROOT, *ROOT.parents)
    return next((f for f in folders if (f/'node_modules/playwright-core').is_dir()), None)


def no_browser() -> str:
    "What is missing for the tests in a browser; nothing when all is there."
    needed = [('node', shutil.which('node')), ('chromium', CHROMIUM), ('playwright-core', modules())]
    missing = [what for what, there in needed if not there]
    return f'needs {", ".join(missing)}' if missing else ''
