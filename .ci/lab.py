"""The widgets chapter, and one that uses a widget, in a real browser: run all cells in JupyterLab, move sliders by
keyboard, upload files; nothing may be asked of the outside.

python .ci/lab.py [FOLDER_FOR_SCREENSHOTS]    needs node, chromium, and playwright-core, which `make test` installs
"""
import os, secrets, shutil, socket, subprocess, sys, tempfile, time, urllib.request
from pathlib import Path

import nbformat

from common import CHROMIUM, NBS, ROOT, cfg, modules, no_browser

CHAPTERS = {'17_metrics': 'metrics', '51_widgets': 'widgets'}


def free_port() -> int:
    "A port that nobody listens on now."
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def without_outputs(source: Path, dest: Path) -> None:
    "A copy of a notebook in which nothing has run yet."
    nb = nbformat.read(source, as_version=4)
    for cell in nb.cells:
        if cell.cell_type == 'code': cell.outputs = []
    nbformat.write(nb, dest)


def start(folder: Path, env: dict) -> subprocess.Popen:
    "JupyterLab on this machine only, with settings of its own and no questions to the network."
    settings = folder/'settings/@jupyterlab/apputils-extension'
    settings.mkdir(parents=True)
    news = settings/'notification.jupyterlab-settings'
    news.write_text('{"fetchNews":"false","checkForUpdates":false}', encoding='utf-8')
    command = [sys.executable, '-m', 'jupyter', 'lab', '--allow-root', '--no-browser', '--ip=127.0.0.1',
               f'--port={env["LAB_PORT"]}', '--ServerApp.port_retries=0',
               f'--IdentityProvider.token={env["LAB_TOKEN"]}', f'--ServerApp.root_dir={folder/"work"}',
               '--LabApp.news_url=', '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate']
    dirs = dict(JUPYTER_CONFIG_DIR=str(folder/'config'), JUPYTERLAB_SETTINGS_DIR=str(folder/'settings'))
    with open(folder/'lab.log', 'w') as log: return subprocess.Popen(command, env=env | dirs, stdout=log, stderr=log)


def wait(url: str) -> None:
    "Until the server answers, for two minutes at most."
    for _ in range(240):
        try: return urllib.request.urlopen(url).close()
        except OSError: time.sleep(.5)
    raise TimeoutError(f'{url.partition("?")[0]} does not answer')


def main() -> int:
    "The exit code: 0 when every explorer did what it should."
    if missing := no_browser(): sys.exit(missing)
    shots = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()).resolve()
    shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder/'work').mkdir()
        shutil.copytree(NBS/'images', folder/'work/images')
        for chapter, name in CHAPTERS.items(): without_outputs(NBS/f'{chapter}.ipynb', folder/f'work/{name}.ipynb')
        photo = next((ROOT/cfg['lib_path']).rglob('*.jpg'), '')
        env = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT),
               'LAB_PORT': str(free_port()), 'LAB_TOKEN': secrets.token_hex(),
               'CHROMIUM': CHROMIUM, 'MODULES': str(modules()), 'SHOTS': str(shots), 'PHOTO': str(photo)}
        server = start(folder, env)
        try:
            wait(f'http://127.0.0.1:{env["LAB_PORT"]}/api/status?token={env["LAB_TOKEN"]}')
            return subprocess.run(['node', ROOT/'.ci/lab.mjs'], env=env, timeout=900).returncode
        finally:
            server.terminate()
            server.wait()


if __name__ == '__main__': sys.exit(main())
