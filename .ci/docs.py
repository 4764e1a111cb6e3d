"The site in _docs: nbdev_docs where Quarto is installed; otherwise nbdev's own processing, rendered by smalldocs."
import os, shutil

from nbdev import quarto

import readme
from common import ROOT, tool

os.chdir(ROOT)
os.environ.update(OMP_NUM_THREADS='1', TQDM_DISABLE='1')


def without_quarto() -> None:
    "What nbdev_docs does, with smalldocs in Quarto's place."
    quarto._ensure_quarto = lambda: None               # nbdev would download it
    cache, cfg, _ = quarto._pre_docs(n_workers=0)      # processed notebooks, _quarto.yml, sidebar
    tool('smalldocs', 'render', cache, '--quiet')
    shutil.rmtree(cfg.doc_path, ignore_errors=True)
    shutil.move(cache/cfg.doc_path.name, cfg.doc_path)


if __name__ == '__main__':
    readme.write()                                     # newer than its notebook, so that nbdev_docs leaves it alone
    if shutil.which('quarto'): tool('nbdev_docs')
    else: without_quarto()
