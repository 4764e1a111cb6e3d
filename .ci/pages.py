"""Every page of the site in a real browser: no console error, nothing asked of the outside, no broken link, nothing
wider than the window, readable contrast, light and dark, at 1280 and 390 pixels. Screenshots stay in FOLDER.

python .ci/pages.py [SITE] [FOLDER] [PAGE ...]    SITE: _docs as `make docs` makes it
needs node, chromium, and playwright-core, which `make test` installs
"""
import json, os, re, subprocess, sys, tempfile, threading
from collections import Counter
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

from common import CHROMIUM, ROOT, cfg, modules, no_browser


class Page(HTMLParser):
    "The addresses that a page names, and the places in it that can be named."

    def __init__(self, file: Path):
        super().__init__()
        self.targets, self.ids = [], {''}
        self.feed(file.read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids.add(attrs.get('id') or '')
        self.targets += [v for k, v in attrs.items() if k in ('href', 'src') and v and tag != 'base']


def broken_links(site: Path) -> list[dict]:
    "Links to pages, places and files of the site that are not there."
    pages = {file.relative_to(site).as_posix(): Page(file) for file in site.rglob('*.html')}
    own, found = f'{cfg["doc_host"]}{cfg["doc_baseurl"]}/', []
    for name, page in pages.items():
        for target in page.targets:
            whole, place = urldefrag(urljoin(own + name, target))
            if whole.startswith(f'{cfg["doc_host"]}/') and not whole.startswith(own):
                found.append(dict(page=name, what='link out of the site', detail=target))
            if not whole.startswith(own): continue
            if target.startswith(own):
                found.append(dict(page=name, what='leaves the site for a page of its own', detail=target))
            file = unquote(whole[len(own):]) or 'index.html'
            if not (site/file).is_file(): found.append(dict(page=name, what='broken link', detail=target))
            elif file in pages and unquote(place) not in pages[file].ids:
                found.append(dict(page=name, what='link to a place that is not there', detail=target))
    for target in re.findall(rf'{re.escape(own)}([^)\s"#]*)', (ROOT/'README.md').read_text(encoding='utf-8')):
        if not (site/(target or 'index.html')).is_file():
            found.append(dict(page='README.md', what='broken link', detail=target))
    return found


class Quiet(SimpleHTTPRequestHandler):
    "A server of files that says nothing."
    def log_message(self, format, *args): pass


def in_browser(site: Path, names: list[str], shots: Path) -> list[dict]:
    "What Chromium finds on the pages."
    shots.mkdir(parents=True, exist_ok=True)
    with (ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=site)) as server,
          tempfile.TemporaryDirectory() as tmp):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pages = Path(tmp)/'pages.json'
        pages.write_text(json.dumps(names), encoding='utf-8')
        env = {**os.environ, 'CHROMIUM': CHROMIUM, 'MODULES': str(modules()), 'SHOTS': str(shots),
               'PAGES': str(pages), 'BASE': f'http://127.0.0.1:{server.server_port}/'}
        done = subprocess.run(['node', ROOT/'.ci/pages.mjs'], env=env, text=True, capture_output=True, timeout=900)
        server.shutdown()
    if done.returncode: raise RuntimeError(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> int:
    "The exit code: 0 when every page is as it should be."
    if missing := no_browser(): sys.exit(missing)
    site = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT/'_docs').resolve()
    shots = Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()).resolve()
    names = sys.argv[3:] or sorted(p.relative_to(site).as_posix() for p in site.rglob('*.html'))
    found = broken_links(site) + in_browser(site, names, shots)
    for f in found: print(f'{f["page"]:40} {f["what"]}: {f["detail"]}')
    for what, count in Counter(f['what'] for f in found).most_common(): print(f'{count:6}  {what}')
    print(f'{len(names)} pages, {len(found)} findings; screenshots in {shots}')
    return bool(found)


if __name__ == '__main__': sys.exit(main())
