"""Write README.md from nbs/index.ipynb: no hidden cells, pictures as files, badges, and whole addresses, so that its
links work on GitHub and on a package index alike. What stands between <!-- site only --> and <!-- everywhere --> is
on the site alone.
"""
import base64, re
from xml.sax.saxutils import escape

from common import NBS, ROOT, cfg, directive, page_of, read

PICTURES = 'nbs/images/readme'
SITE = f'{cfg["doc_host"]}{cfg["doc_baseurl"]}'
RAW = f'https://raw.githubusercontent.com/{cfg["user"]}/{cfg["repo"]}/{cfg["branch"]}'


def whole_address(target: str) -> str:
    """Where a link of the index leads, whoever shows it:
    a notebook to its page, a picture to its file, the rest to the source."""
    path, _, place = target.partition('#')
    if path.endswith('.ipynb'): return f'{SITE}/{page_of(NBS/path)}.html' + (f'#{place}' if place else '')
    file = (NBS/path).resolve().relative_to(ROOT).as_posix()
    return f'{RAW}/{file}' if re.search(r'\.(png|jpg|svg)$', path) else f'{cfg["git_url"]}/blob/{cfg["branch"]}/{file}'


def absolute(markdown: str) -> str:
    "Links relative to nbs/ as whole addresses; a place on the page that only the site has, as a link to the site."
    markdown = re.sub(r'(\]\(|(?:src|href)=")#', rf'\1{SITE}/index.html#', markdown)
    return re.sub(r'(\]\(|(?:src|href)=")(?![\w+.-]+:|[#/])([^)"]+)', lambda m: m[1] + whole_address(m[2]), markdown)


def badge(left: str, right: str, colour: str) -> str:
    "A small sign with two halves, as SVG."
    a, b = (14 + round(6.4*len(words)) for words in (left, right))
    text = 'y="14" font-family="DejaVu Sans,Verdana,sans-serif" font-size="11" fill="#fff" text-anchor="middle"'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{a+b}" height="20" role="img" '
            f'aria-label="{escape(left)}: {escape(right)}">'
            f'<rect width="{a+b}" height="20" rx="3" fill="{colour}"/>'
            f'<path d="M3 0h{a-3}v20H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3z" fill="#3a4055"/>'
            f'<text x="{a/2}" {text}>{escape(left)}</text><text x="{a+b/2}" {text}>{escape(right)}</text></svg>\n')


def badges() -> dict[str, tuple[str, str, str]]:
    "File name: words on the left, words on the right, where it leads."
    blob = f'{cfg["git_url"]}/blob/{cfg["branch"]}'
    return {'python': ('python', f'{cfg["min_python"]} to 3.13', f'{blob}/settings.ini'),
            'licence': ('licence', 'Apache 2.0', f'{blob}/LICENSE'),
            'docs': ('docs', 'the course', SITE)}


def badge_line() -> str:
    "The badges below the title: whether the tests pass, which GitHub draws, and what does not change, drawn here."
    tests = f'{cfg["git_url"]}/actions/workflows/test.yml'
    parts = [f'[![tests]({tests}/badge.svg)]({tests})']
    parts += [f'[![{left}: {right}]({RAW}/{PICTURES}_{name}.svg)]({link})'
              for name, (left, right, link) in badges().items()]
    return ' '.join(parts)


def output(out, alt: str, pictures: list) -> str:
    "One output as Markdown; a picture's bytes are added to `pictures`."
    if out.output_type == 'stream': return f'```\n{out.text.rstrip()}\n```'
    if 'image/png' in out.data:
        pictures.append(base64.b64decode(out.data['image/png']))
        return f'![{alt}]({RAW}/{PICTURES}_{len(pictures)}.png)'
    if 'text/markdown' in out.data: return absolute(out.data['text/markdown'])
    return f'```\n{out.data["text/plain"]}\n```'


def convert(nb) -> tuple[str, list[bytes]]:
    "The notebook's Markdown and its pictures."
    parts, pictures, here = [], [], True
    for cell in nb.cells:
        if cell.source.startswith('<!-- '): here = not cell.source.startswith('<!-- site only')
        if not here or cell.id == 'colab-badge': continue
        if cell.cell_type == 'markdown': parts.append(absolute(re.sub('<!--.*?-->', '', cell.source)))
        if len(parts) == 1: parts.append(badge_line())
        if cell.cell_type != 'code' or any(directive(cell, d) is not None for d in ('hide', 'default_exp')): continue
        source = re.sub(r'^#\|.*\n?', '', cell.source, flags=re.MULTILINE).strip()
        if source and directive(cell, 'echo') != 'false': parts.append(f'```python\n{source}\n```')
        parts += [output(o, directive(cell, 'fig-alt') or '', pictures) for o in cell.outputs]
    return '\n\n'.join(p.strip() for p in parts) + '\n', pictures


def write() -> None:
    "Write README.md and its pictures, and remove pictures of an earlier one."
    text, pictures = convert(read(NBS/'index.ipynb'))
    (ROOT/'README.md').write_text(text, encoding='utf-8')
    (ROOT/PICTURES).parent.mkdir(exist_ok=True)
    files = {f'{PICTURES}_{i}.png': png for i, png in enumerate(pictures, 1)}
    files |= {f'{PICTURES}_{name}.svg': badge(left, right, '#3340b3').encode()
              for name, (left, right, _) in badges().items()}
    for old in (ROOT/PICTURES).parent.glob('readme_*'):
        if old.relative_to(ROOT).as_posix() not in files: old.unlink()
    for file, content in files.items(): (ROOT/file).write_bytes(content)


if __name__ == '__main__': write()
