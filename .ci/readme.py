"Write README.md from nbs/index.ipynb, as Quarto would: no hidden cells, pictures as files, links that work from the project's root."
import base64, re

from common import NBS, ROOT, directive, read

PICTURES = 'nbs/images/readme'


def from_root(markdown: str) -> str:
    "Links relative to nbs/ as links relative to the root; addresses and anchors stay."
    return re.sub(r'(\]\(|(?:src|href)=")(?![\w+.-]+:|[#/])', r'\1nbs/', markdown)


def output(out, alt: str, pictures: list) -> str:
    "One output as Markdown; a picture's bytes are added to `pictures`."
    if out.output_type == 'stream': return f'```\n{out.text.rstrip()}\n```'
    if 'image/png' in out.data:
        pictures.append(base64.b64decode(out.data['image/png']))
        return f'![{alt}]({PICTURES}_{len(pictures)}.png)'
    if 'text/markdown' in out.data: return from_root(out.data['text/markdown'])
    return f'```\n{out.data["text/plain"]}\n```'


def convert(nb) -> tuple[str, list[bytes]]:
    "The notebook's Markdown and its pictures."
    parts, pictures = [], []
    for cell in nb.cells:
        if cell.cell_type == 'markdown' and cell.id != 'colab-badge': parts.append(from_root(cell.source))
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
    for old in (ROOT/PICTURES).parent.glob('readme_*.png'): old.unlink()
    for i, png in enumerate(pictures, 1): (ROOT/f'{PICTURES}_{i}.png').write_bytes(png)


if __name__ == '__main__': write()
