"Everything here comes from settings.ini: nothing about the package is said twice."
import re
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

HERE = Path(__file__).parent
config = ConfigParser(delimiters=['='])
config.read(HERE/'settings.ini', encoding='utf-8')
cfg = config['DEFAULT']
minor = int(cfg['min_python'].split('.')[1])
lib = cfg['lib_name']


def absolute(text: str) -> str:
    "Links from the project's root as addresses, so that the README works on a package index too."
    raw = cfg['git_url'].replace('https://github.com', 'https://raw.githubusercontent.com')
    text = re.sub(r'(!\[[^]]*\]\()(?![\w+.-]+:|[#/])', rf'\1{raw}/{cfg["branch"]}/', text)
    return re.sub(r'(\]\()(?![\w+.-]+:|[#/])', rf'\1{cfg["git_url"]}/blob/{cfg["branch"]}/', text)


folders = {p.parent.relative_to(HERE) for p in (HERE/'results').rglob('*.json')}
results = {f'{lib}.{folder.as_posix().replace("/", ".")}' for folder in folders}

setup(
    name=cfg['lib_name'],
    version=cfg['version'],
    description=cfg['description'],
    long_description=absolute((HERE/'README.md').read_text(encoding='utf-8')),
    long_description_content_type='text/markdown',
    license='Apache-2.0 AND LicenseRef-facemask-seg-weights',   # code and text; weights in models/
    license_files=['LICENSE', 'LICENSE-WEIGHTS'],
    author=cfg['author'],
    author_email=cfg['author_email'],
    url=cfg['git_url'],
    project_urls={'Documentation': cfg['doc_host'] + cfg['doc_baseurl']},
    keywords=cfg['keywords'],
    classifiers=[
        'Development Status :: 3 - Alpha',
        f'Intended Audience :: {cfg["audience"]}',
        f'Natural Language :: {cfg["language"]}',
        *(f'Programming Language :: Python :: 3.{v}' for v in range(minor, 14)),
    ],
    python_requires=f'>={cfg["min_python"]}',
    install_requires=cfg['requirements'].split(),
    extras_require={extra: cfg[f'{extra}_requirements'].split() for extra in ('faces', 'deploy', 'dev')},
    packages=[*find_packages(include=[lib, f'{lib}.*']), *results],
    package_dir={f'{lib}.results': 'results'},
    package_data={lib: ['py.typed', 'photos/*.jpg', 'models/*'], **{package: ['*.json'] for package in results}},
    entry_points={
        'console_scripts': cfg['console_scripts'].split(),
        'nbdev': f'{cfg["lib_name"]}={cfg["lib_name"]}._modidx:d',
    },
    zip_safe=False,
)
