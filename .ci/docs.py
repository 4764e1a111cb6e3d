"""The site in _docs. nbdev processes the notebooks, `prepare` makes pages of them, Quarto renders them where it is
installed, otherwise smalldocs, whose pages `finish` completes: formulas as MathML, a dark theme, search texts that
read well. Nothing is asked of another host.
"""
import ast, html, json, os, re, shutil, subprocess, sys
from pathlib import Path

import yaml
from nbdev import quarto

import readme, reference
from common import NBS, ROOT, cfg, notebooks, number, page_of, read, title, tool

os.chdir(ROOT)
sys.path.insert(0, str(ROOT))
os.environ.update(OMP_NUM_THREADS='1', TQDM_DISABLE='1')
SITE = f'{cfg["doc_host"]}{cfg["doc_baseurl"]}/'


PLACES = set()    # `page.html#name` of every entry
PAGES = {p.relative_to(NBS).as_posix(): page_of(p) for p in notebooks()}


def renamed(text: str, quotes: str = r'[("]') -> str:
    "Links to notebooks by their pages' names."
    return re.sub(rf'({quotes}(?:\.\./)?(?:\w+/)?)\d+_(\w+\.ipynb)', r'\1\2', text)


def relinked(text: str, depth: int) -> str:
    """Links in a page: to notebooks by their new names, to pages of this site without its address;
    none to names without an entry."""
    def local(found): return f'[{found[1]}]({"../"*depth}{found[2]})' if found[2] in PLACES else found[1]
    text = re.sub(rf'\[(`[^`\]]+`)\]\({re.escape(SITE)}([\w/]+\.html#[^)]*)\)', local, text)
    text = re.sub(rf'\]\({re.escape(SITE)[:-1]}/?\)', f']({"../"*depth}index.html)', text)
    return renamed(re.sub(rf'{re.escape(SITE)}(?=[\w/]+\.html)', '../'*depth, text))


def to_source(text: str, folder: Path) -> str:
    "Links to files of the project that are not pages, such as the licence, as links to GitHub."
    def link(found):
        file = (folder/found[1]).resolve()
        if NBS in file.parents or not file.exists(): return found[0]
        return f']({cfg["git_url"]}/blob/{cfg["branch"]}/{file.relative_to(ROOT).as_posix()})'
    return re.sub(r'\]\((\.\./[^)#]+)\)', link, text)


def only_imports(source: str) -> bool:
    "Whether a cell does nothing but import."
    try: body = ast.parse(source).body
    except SyntaxError: return False
    return bool(body) and all(isinstance(line, (ast.Import, ast.ImportFrom)) for line in body)


def only_checks(source: str) -> bool:
    "Whether a cell defines functions that only refuse what is wrong."
    try: body = ast.parse(source).body
    except SyntaxError: return False
    return bool(body) and all(isinstance(line, ast.FunctionDef) and line.name.startswith(('_check', '_insist'))
                              for line in body)


def folded(source: str) -> str:
    "The source of a code cell; imports and refusals behind a line that opens."
    code = re.sub(r'^#\|.*\n?', '', source, flags=re.MULTILINE).strip()
    if 'code-fold' in source: return source
    if only_imports(code): return f'#| code-fold: true\n#| code-summary: "Imports"\n{source}'
    if only_checks(code): return f'#| code-fold: true\n#| code-summary: "What it refuses"\n{source}'
    return source


def shown_name(cell) -> str:
    "The name that a cell asks nbdev to show; nothing for other cells."
    called = re.search(r'^show_doc\((.+)\)$', ''.join(cell['source']), re.MULTILINE)
    return called[1] if called and cell['cell_type'] == 'code' else ''


def module_of(source: Path) -> str:
    "The module that a notebook exports."
    declared = (re.search(r'^#\|\s*default_exp\s+(\S+)', c.source, re.MULTILINE) for c in read(source).cells)
    return next((m[1] for m in declared if m), '')


def documented(cells: list, module: str, page: str) -> list:
    "The cells, with what nbdev shows of each export as a folded entry: the definition stands above it already."
    shown = {shown_name(c) for c in cells}
    for cell in cells:
        if not (called := shown_name(cell)): continue
        text = reference.entry(reference.find(module, called, page), shown)
        mark = cell.get('id') or f'api-{reference.anchor(called)}'[:64].replace('.', '-')
        cell.clear()
        cell.update(cell_type='markdown', id=mark, metadata={}, source=f'```{{=html}}\n{text}\n```')
    return cells


def prepare_notebook(path: Path, source: Path) -> None:
    "One processed notebook as a page: its name, its title, its links, what is folded."
    nb, page = json.loads(path.read_text(encoding='utf-8')), PAGES[source.relative_to(NBS).as_posix()]
    cells = [{**c, 'source': ''.join(c['source'])} for c in nb['cells']]
    cells = [c for c in cells if not re.fullmatch(r'#\|\s*(default_exp \S+|hide)?\s*', c['source'])]
    front = yaml.safe_load(cells[0]['source'].strip().strip('-'))
    front.pop('output-file', None)
    front['title'] = title(source)
    cells[0]['source'] = f'---\n{yaml.safe_dump(front, allow_unicode=True)}---\n'
    for cell in documented(cells, module_of(source), Path(page).name):
        if cell['cell_type'] == 'markdown':
            cell['source'] = relinked(to_source(cell['source'], source.parent), page.count('/'))
        if cell['cell_type'] == 'code': cell['source'] = folded(cell['source'])
        for out in cell.get('outputs', []):
            markdown = out.get('data', {}).get('text/markdown')
            if markdown: out['data']['text/markdown'] = relinked(''.join(markdown), page.count('/'))
    nb['cells'] = cells
    path.unlink()
    path.with_name(f'{Path(page).name}.ipynb').write_text(json.dumps(nb), encoding='utf-8')


def prepare(cache: Path) -> None:
    "The processed project as Quarto and smalldocs both take it."
    for source in notebooks():
        path = source.relative_to(NBS)
        page, cells = PAGES[path.as_posix()], json.loads((cache/path).read_text(encoding='utf-8'))['cells']
        for called in filter(None, map(shown_name, cells)):
            symbol = reference.find(module_of(source), called, page)
            PLACES.update(f'{page}.html#{reference.anchor(s.name)}' for s in [symbol, *reference.methods(symbol)])
    for source in notebooks(): prepare_notebook(cache/source.relative_to(NBS), source)
    for file in ('_quarto.yml', 'sidebar.yml'):
        text = (cache/file).read_text(encoding='utf-8')
        (cache/file).write_text(renamed(text, r'[: ]'), encoding='utf-8')
    chapters = [p for p in notebooks()
                if p.parent == NBS and number(p) and (ROOT/cfg['lib_path']/f'{page_of(p)}.py').exists()]
    text = reference.page([(page_of(p), page_of(p), title(p)) for p in chapters])
    (cache/'reference.qmd').write_text(text, encoding='utf-8')


def as_mathml(page: str) -> str:
    "A page whose formulas are MathML, which browsers draw themselves."
    from latex2mathml.converter import convert
    def formula(found): return convert(html.unescape(found[2]), display='block' if found[1] == 'display' else 'inline')
    page = re.sub(r'<span class="math (\w+)">\\[(\[](.*?)\\[)\]]</span>',
                  lambda m: f'<span class="math {m[1]}">{formula(m)}</span>', page, flags=re.DOTALL)
    return re.sub(r'<(link|script)[^>]*cdn\.jsdelivr\.net/npm/katex[^>]*>(</script>)?', '', page)


def search_texts(site: Path) -> None:
    "What the search shows: sentences without code, and each exported name as an entry of its own."
    entries = json.loads((site/'search.json').read_text(encoding='utf-8'))
    for entry in entries:
        page, _, place = entry['href'].partition('#')
        entry['text'] = prose_of((site/page).read_text(encoding='utf-8'), place) or entry['text'][:200]
    for page in sorted(site.glob('*.html')):
        if page.name == 'reference.html': continue
        text = page.read_text(encoding='utf-8')
        found = re.findall(r'<details class="api" id="([^"]+)">\s*<summary><code>([^<]+)</code>[^<]*</summary>'
                           r'\s*<p>(.*?)</p>', text, re.DOTALL)
        for place, summary, docs in found:
            href = f'{page.name}#{place}'
            entries.append(dict(objectID=href, href=href, title=summary, section=page.stem, text=words(docs)))
    (site/'search.json').write_text(json.dumps(entries, ensure_ascii=False), encoding='utf-8')


def words(markup: str) -> str:
    "The words of some HTML."
    markup = re.sub(r'</?(p|div|li|h\d|summary|details|section|table|tr|td|th|br)\b[^>]*>', ' ', markup)
    return ' '.join(html.unescape(re.sub(r'<[^>]+>', '', markup)).split())


def prose_of(page: str, place: str) -> str:
    "The sentences of one section of a page: no code, no outputs, no entries."
    main = page[page.index('<main'):page.index('</main>')]
    main = re.sub(r'<(pre|table|math|style|script|figure)\b.*?</\1>', ' ', main, flags=re.DOTALL)
    main = re.sub(r'<details class="api".*?</details>|<header.*?</header>', ' ', main, flags=re.DOTALL)
    if not place: return words(main.split('<section', 1)[0])
    _, found, section = main.partition(f'id="{place}"')
    if not found: return ''
    body = section.split('</h', 1)[-1].split('>', 1)[-1]
    return words(re.split(r'<section|<h[2-6]\b', body, maxsplit=1)[0])


DARK = (':root{color-scheme:dark;--bs-body-color:#d8dce6;--bs-body-color-rgb:216,220,230;'
        '--bs-body-bg:#14171f;--bs-body-bg-rgb:20,23,31}')


def dark_theme(site: Path) -> None:
    """Bootstrap's own dark colours as the second theme;
    smalldocs knows them only as themes with other letters and sizes."""
    themes = site/'site_libs/themes'
    light = (themes/'default.min.css').read_text(encoding='utf-8')
    colours = re.search(r'\[data-bs-theme=dark\](\{[^}]*\})', light)[1]
    (themes/'dark.css').write_text(f'{light}\n:root{colours}\n{DARK}\n', encoding='utf-8')


def finish(site: Path) -> None:
    "What smalldocs leaves to do."
    dark_theme(site)
    for page in site.rglob('*.html'):
        text = as_mathml(page.read_text(encoding='utf-8'))
        text = re.sub(r'themes/default\.min\.css("[^>]*id="quarto-bootstrap-dark")', r'themes/dark.css\1', text)
        page.write_text(text, encoding='utf-8')
    search_texts(site)


def main() -> None:
    "Build the site."
    readme.write()
    if not shutil.which('quarto'): quarto._ensure_quarto = lambda: None    # nbdev would download it
    cache, settings, _ = quarto._pre_docs(n_workers=0)                     # processed notebooks, _quarto.yml, sidebar
    prepare(cache)
    if shutil.which('quarto'): subprocess.run(['quarto', 'render', '--no-cache'], cwd=cache, check=True)
    else: tool('smalldocs', 'render', cache, '--quiet')
    made = cache/settings.doc_path.name
    if not shutil.which('quarto'): finish(made)
    shutil.rmtree(settings.doc_path, ignore_errors=True)
    shutil.move(made, settings.doc_path)


if __name__ == '__main__': main()
