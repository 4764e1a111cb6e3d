"What the site says of exported names: a folded entry below each definition, and one page with all of them."
import html, importlib, inspect
from pathlib import Path
from typing import NamedTuple

from fastcore.docments import docments

from common import cfg


class Symbol(NamedTuple):
    "An exported function, class or method."
    name: str      # As one writes it: `Segmenter.predict`
    thing: object  # The thing itself
    chapter: str   # The page that builds it, without an ending: `predict`
    source: str    # Where its code is on GitHub


def the_lines(thing) -> str:
    "The address of a thing's code, as a fragment: file and first line."
    thing = inspect.unwrap(thing.__func__ if isinstance(thing, (classmethod, staticmethod)) else thing)
    file, line = inspect.getsourcefile(thing), inspect.getsourcelines(thing)[1]
    package = Path(importlib.import_module(cfg['lib_name']).__file__).parent
    inside = Path(file).relative_to(package).as_posix()
    return f'{cfg["git_url"]}/blob/{cfg["branch"]}/{cfg["lib_path"]}/{inside}#L{line}'


def find(module: str, name: str, chapter: str) -> Symbol:
    "An exported name of one of the package's modules; `Class.method` too."
    thing = importlib.import_module(f'{cfg["lib_name"]}.{module}')
    for part in name.split('.'):
        thing = inspect.getattr_static(thing, part) if inspect.isclass(thing) else getattr(thing, part)
    return Symbol(name, thing, chapter, the_lines(thing))


def methods(symbol: Symbol) -> list[Symbol]:
    "The public methods that a class defines itself, those that have something to say."
    if not inspect.isclass(symbol.thing): return []
    own = [(n, t) for n, t in vars(symbol.thing).items()
           if not n.startswith('_') and (inspect.isfunction(t) or isinstance(t, (classmethod, staticmethod)))]
    return [Symbol(f'{symbol.name}.{n}', t, symbol.chapter, the_lines(t)) for n, t in own
            if t.__doc__ and hasattr(t, '__module__')
            and inspect.unwrap(getattr(t, '__func__', t)).__module__.startswith(cfg['lib_name'])]


def plain(thing):
    "The function behind a class method."
    return thing.__func__ if isinstance(thing, (classmethod, staticmethod)) else thing


def in_words(note) -> str:
    "A type as the code has it."
    if note is inspect.Parameter.empty or note is None: return ''
    if inspect.isclass(note) and not hasattr(note, '__args__'): return getattr(note, '__name__', str(note))
    return str(note).replace('typing.', '')


def said(value) -> str:
    "A default as one would write it; long ones are cut."
    if value is inspect.Parameter.empty: return ''
    words = getattr(value, '__name__', None) if callable(value) else repr(value)
    return words if words and len(words) <= 40 else '...'


def code(words: str) -> str:
    "Text as code inside HTML; nothing for nothing."
    return f'<code>{html.escape(words)}</code>' if words else ''


def prose(words: str | None) -> str:
    "A comment or docstring as HTML, with `code` in it."
    parts = html.escape(' '.join((words or '').split())).split('`')
    return ''.join(f'<code>{p}</code>' if i % 2 else p for i, p in enumerate(parts))


def parameters(symbol: Symbol) -> str:
    "The table of parameters and what comes back, as HTML."
    rows = []
    try: found = docments(plain(symbol.thing), full=True, returns=True)
    except (TypeError, ValueError, OSError, AttributeError, SyntaxError): found = {}
    for name, about in found.items():
        if name in ('self', 'cls', 'return'): continue
        rows.append([code(name), code(in_words(about.anno)), code(said(about.default)), prose(about.docment)])
    back = found.get('return')
    if back and (in_words(back.anno) or back.docment) and not inspect.isclass(symbol.thing):
        rows.append(['<em>returns</em>', code(in_words(back.anno)), '', prose(back.docment)])
    if not rows: return ''
    head = ''.join(f'<th>{h}</th>' for h in ['', 'type', 'default', 'what it is'])
    body = '\n'.join('<tr>' + ''.join(f'<td>{cell}</td>' for cell in row) + '</tr>' for row in rows)
    return f'<table class="parameters">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>'


def anchor(name: str) -> str:
    "The place on a page that nbdev's links to `name` go to."
    return name.lower()


def about(symbol: Symbol) -> str:
    "What one symbol is: its docstring, its parameters, its code."
    source = f'<p class="source"><a href="{symbol.source}">source on GitHub</a></p>'
    return f'<p>{prose(inspect.getdoc(plain(symbol.thing)))}</p>\n{parameters(symbol)}\n{source}'


def with_methods(symbol: Symbol, elsewhere: set = frozenset()) -> str:
    "What a symbol is and, for a class, what its methods are, but those that have an entry of their own."
    parts = [about(symbol)]
    for method in methods(symbol):
        if method.name in elsewhere: continue
        parts += [f'<p class="method" id="{anchor(method.name)}">{code(method.name)}</p>', about(method)]
    return '\n'.join(parts)


def entry(symbol: Symbol, elsewhere: set = frozenset()) -> str:
    "The folded entry below a definition, as one block of HTML."
    inside = with_methods(symbol, elsewhere)
    return (f'<details class="api" id="{anchor(symbol.name)}">\n'
            f'<summary>{code(symbol.name)}: parameters and source</summary>\n{inside}\n</details>')


def page(chapters: list[tuple[str, str, str]]) -> str:
    "All exported names as one page, by chapter; `chapters` are (module, page, title)."
    parts = ['---\ntitle: API reference\ndescription: Every exported name, by the chapter that builds it\n'
             'toc-depth: 2\n---\n',
             f'What most people need can be imported from `{cfg["lib_name"]}` itself: '
             + ', '.join(f'`{n}`' for n in importlib.import_module(cfg['lib_name']).__all__)
             + f'. Everything else lives in the module of its chapter, such as `{cfg["lib_name"]}.losses`.\n']
    for module, chapter, title in chapters:
        exported = importlib.import_module(f'{cfg["lib_name"]}.{module}')
        names = [n for n in exported.__all__ if not n.startswith('_') and '.' not in n]
        things = [(n, getattr(exported, n)) for n in names]
        symbols = [find(module, n, chapter) for n, t in things
                   if getattr(t, '__module__', '') == exported.__name__
                   and (inspect.isclass(t) or inspect.isfunction(t))]
        if not symbols: continue
        parts.append(f'## {title}\n\nModule `{cfg["lib_name"]}.{module}`, built in [{title}]({chapter}.html).\n')
        for symbol in symbols:
            link = f'<a href="{chapter}.html#{anchor(symbol.name)}">{code(symbol.name)}</a>'
            head = f'<p class="method" id="{anchor(symbol.name)}">{link}</p>'
            parts.append(f'```{{=html}}\n<div class="entry">\n{head}\n{with_methods(symbol)}\n</div>\n```\n')
    return '\n'.join(parts)
