"""Bad input of more than a hundred kinds, made here, through every command.

    python faults/bad_inputs.py [WORD ...]     only cases whose name holds one of the words

Each has to end with the right answer (exit code 0), or with code 2 and one line that names what is wrong and what to
do. Never a traceback, a hang, a wrong mask, a file that is lost or one that is left over.
"""
import json, os, shutil, struct, sys, zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from common import GIFT, MODEL, TINY, Outcome, Table, command, contents, make_material, object_array, workplace

import numpy as np
from PIL import Image


class Case(NamedTuple):
    "Something that is spoiled, the command that meets it, and what it should say."
    name: str
    spoil: Callable        # Works in the folder of the material
    words: tuple           # The command
    says: tuple[str, ...]  # In its one line of error; empty: it should end well
    check: Callable = lambda: None  # Afterwards; raises AssertionError


MAY_CHANGE = 'out', 'new', 'runs', 'results'  # Where commands write; nothing else may be new, different or gone
CASES: list[Case] = []

def case(name, spoil, words, *says, check=lambda: None):
    "Note a case; `words` are split at blanks, and a list is taken as it is."
    words = words.split() if isinstance(words, str) else words
    CASES.append(Case(name, spoil, tuple(words), says, check))

def nothing(): "Spoil nothing: the command itself is wrong."

def write(file, content=b''):
    "A function that writes `content` (bytes, text, or an object for JSON) to `file`."
    def spoil():
        data = content if isinstance(content, bytes | str) else json.dumps(content)
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_bytes(data.encode() if isinstance(data, str) else data)
    return spoil

def cut(file):
    "A function that keeps the first half of a file."
    def spoil():
        data = Path(file).read_bytes()
        Path(file).write_bytes(data[:len(data)//2])
    return spoil

def edit(file, change):
    "A function that changes what stands in a JSON file."
    def spoil():
        d = json.loads(Path(file).read_text())
        change(d)
        Path(file).write_text(json.dumps(d))
    return spoil

def both(*spoils):
    "One after the other."
    def spoil():
        for s in spoils: s()
    return spoil

def remove(path): return lambda: shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink()
def copy(a, b): return lambda: shutil.copytree(a, b) if Path(a).is_dir() else shutil.copy(a, b)
def rename(a, b): return lambda: Path(a).rename(b)

def png(width, height, *chunks):
    "A PNG file made by hand."
    def chunk(kind, body):
        return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
    head = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    parts = (b'IHDR', head), *chunks, (b'IDAT', b''), (b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*c) for c in parts)


# Photos, through predict

def mask_of(name): return np.asarray(Image.open(f'out/{name}_mask.png'))

def same_mask(name):
    "A check: the mask is that of the plain photo."
    def check(): assert np.array_equal(mask_of(name), np.asarray(Image.open('plain_mask.png'))), 'another mask'
    return check

def has_mask(name, width=64, height=64):
    "A check: there is a mask, of the photo's size."
    def check(): assert mask_of(name).shape == (height, width), f'a mask of {mask_of(name).shape}'
    return check

def photo(name, spoil, file, *says, check=lambda: None):
    "A case of one photo; what is wrong with it is said after its name."
    case(f'predict: {name}', spoil, ['predict', file, '--out', 'out', *MODEL], *((file, *says) if says else ()),
         check=check)

def resaved(file, change=lambda im: im, **options):
    "A function that saves the photo in another way."
    return lambda: change(Image.open('photo.png')).save(file, **options)

def array(file, values): return lambda: Image.fromarray(np.asarray(values)).save(file)

def on_its_side():
    "The photo, turned, with the note that says so."
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open('photo.png').rotate(90).save('x.png', exif=exif)

def wrong_checksum():
    "A PNG with one bit of its picture changed."
    data = bytearray(Path('photo.png').read_bytes())
    data[len(data)//2] ^= 1
    Path('x.png').write_bytes(data)

NO_IMAGE = 'cannot be read as an image'
photo('a photo that is not there', nothing, 'gone.jpg', 'no such file')
photo('an empty file', write('x.jpg'), 'x.jpg', 'the file is empty')
photo('a text', write('x.jpg', 'see attachment'), 'x.jpg', NO_IMAGE)
photo('a web page', write('x.png', '<!DOCTYPE html><html>404</html>'), 'x.png', NO_IMAGE)
photo('an SVG', write('x.png', '<svg xmlns="http://www.w3.org/2000/svg"/>'), 'x.png', NO_IMAGE)
photo('a program that draws (EPS)', write('x.jpg', '%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n'),
      'x.jpg', NO_IMAGE)
photo('a PDF', write('x.jpg', b'%PDF-1.7\n'), 'x.jpg', NO_IMAGE)
photo('a pickle', write('x.jpg', GIFT), 'x.jpg', NO_IMAGE)
photo('a photo of an iPhone (HEIC)', write('x.heic', b'\0\0\0\x18ftypheic\0\0\0\0mif1heic'), 'x.heic', NO_IMAGE)
photo('a JPEG cut in half', both(resaved('x.jpg'), cut('x.jpg')), 'x.jpg', 'truncated')
photo('a PNG cut in half', both(copy('photo.png', 'x.png'), cut('x.png')), 'x.png', NO_IMAGE)
photo('a WebP cut in half', both(resaved('x.webp'), cut('x.webp')), 'x.webp', NO_IMAGE)
photo('a GIF cut in half', both(resaved('x.gif'), cut('x.gif')), 'x.gif', NO_IMAGE)
photo('the first four bytes of a JPEG', write('x.jpg', b'\xff\xd8\xff\xe0'), 'x.jpg', NO_IMAGE)
photo('a PNG whose checksum is wrong', wrong_checksum, 'x.png', NO_IMAGE)
photo('a PNG of 30000 x 30000', write('x.png', png(30000, 30000)), 'x.png', 'make it smaller')
photo('a PNG of 12000 x 12000', write('x.png', png(12000, 12000)), 'x.png', 'the limit is 89 million pixels')
photo('a PNG of 20000 x 8', write('x.png', png(20000, 8)), 'x.png', 'cut it')
photo('a PNG of 0 x 8', write('x.png', png(0, 8)), 'x.png', NO_IMAGE)
photo('a PNG with a text of 99 MB, packed',
      write('x.png', png(8, 8, (b'zTXt', b'a\0\0' + zlib.compress(bytes(99_000_000), 1)))), 'x.png', NO_IMAGE)
photo('integers of 32 bits', array('x.tif', np.full((9, 9), 70000, np.int32)), 'x.tif', 'save it with 8 or 16')
photo('floats that are no numbers', array('x.tif', np.full((9, 9), np.nan, np.float32)), 'x.tif', 'not numbers')
photo('floats up to 4000', array('x.tif', np.full((9, 9), 4000, np.float32)), 'x.tif', '0 to 1, or 0 to 255')
photo('a folder that is called x.jpg', lambda: Path('x.jpg').mkdir(), 'x.jpg', 'no photos in it')
photo('a folder without photos', write('x/readme.txt', 'none'), 'x', 'no photos in it')
photo('a link to nowhere', lambda: os.symlink('nowhere.jpg', 'x.jpg'), 'x.jpg', 'no such file')
photo('a link to itself', lambda: os.symlink('x.jpg', 'x.jpg'), 'x.jpg', 'no such file')
photo('a pipe that nobody writes to', lambda: os.mkfifo('x.jpg'), 'x.jpg', 'empty')
photo('a device without end', lambda: os.symlink('/dev/zero', 'x.jpg'), 'x.jpg', 'empty')
photo('a name that is too long', nothing, 'x'*300 + '.png', 'too long')

photo('16 bits', resaved('x.png', lambda im: Image.fromarray(np.asarray(im.convert('L')).astype(np.uint16)*257)),
      'x.png', check=has_mask('x'))
photo('1 bit', resaved('x.png', lambda im: im.convert('1')), 'x.png', check=has_mask('x'))
photo('a palette', resaved('x.png', lambda im: im.convert('P')), 'x.png', check=has_mask('x'))
photo('four colours of ink (CMYK)', resaved('x.jpg', lambda im: im.convert('CMYK')), 'x.jpg', check=has_mask('x'))
photo('EXIF that is nonsense', resaved('x.jpg', exif=b'Exif\0\0II*\0\xff\xff\xff\xff' + bytes(range(99))),
      'x.jpg', check=has_mask('x'))
photo('a PNG that is called x.jpg', copy('photo.png', 'x.jpg'), 'x.jpg', check=same_mask('x'))
photo('an alpha channel', resaved('x.png', lambda im: im.convert('RGBA')), 'x.png', check=same_mask('x'))
photo('one that lies on its side', on_its_side, 'x.png', check=same_mask('x'))
photo('an animation', resaved('x.gif', save_all=True, append_images=[Image.new('RGB', (64, 64))]),
      'x.gif', check=has_mask('x'))
photo('one pixel', array('x.png', np.zeros((1, 1, 3), np.uint8)), 'x.png', check=has_mask('x', 1, 1))
photo('32 times as long as wide', array('x.png', np.zeros((2, 64, 3), np.uint8)), 'x.png', check=has_mask('x', 64, 2))
photo('a name in three scripts, with blanks', copy('photo.png', 'Zoë 名 лицо .png'), 'Zoë 名 лицо .png',
      check=same_mask('Zoë 名 лицо '))
photo('a name that is not UTF-8', copy('photo.png', os.fsdecode(b'x\xff.png')), os.fsdecode(b'x\xff.png'),
      check=same_mask(os.fsdecode(b'x\xff')))
photo('a name of two lines', copy('photo.png', 'x\ny.png'), 'x\ny.png', check=same_mask('x\ny'))
photo('a name of 240 letters', copy('photo.png', 'x'*240 + '.png'), 'x'*240 + '.png', check=same_mask('x'*240))

def only_the_good_one():
    "A check: the good photo has its mask, the bad one has none."
    same_mask('good')()
    assert not Path('out/bad_mask.png').exists()

def a_good_and_a_bad_one():
    "A folder of two photos."
    Path('x').mkdir()
    shutil.copy('photo.png', 'x/good.png')
    Path('x/bad.png').write_text('no')

case('predict: one good photo and one bad', a_good_and_a_bad_one, ['predict', 'x', '--out', 'out', *MODEL],
     'x/bad.png', NO_IMAGE, check=only_the_good_one)


# What predict writes, and what it is asked

def predict(name, spoil, words, *says, check=lambda: None):
    "A case of a good photo, and something else that is wrong."
    case(f'predict: {name}', spoil, ['predict', 'photo.png', *words.split()], *says, check=check)

USUAL = ' '.join(MODEL)
predict('masks that are there', write('out/photo_mask.png', 'mine'),
        f'--out out {USUAL}', 'out/photo_mask.png', '--overwrite',
        check=lambda: None if Path('out/photo_mask.png').read_text() == 'mine' else 1/0)
predict('--out is a file', write('x', 'mine'), f'--out x {USUAL}', 'x')
predict('--out below a file', write('x', 'mine'), f'--out x/y {USUAL}', 'x/y')
predict('--out where nothing can be written', nothing, f'--out /proc/1/x {USUAL}', '/proc/1/x')
predict('a faces.csv that is no text', write('out/faces.csv', b'\xff\xfe\0mine\n1'),
        f'--out out {USUAL}', 'out/faces.csv', 'move it away')
predict('a faces.csv that is a folder', write('out/faces.csv/mine', '1'), f'--out out {USUAL}', 'out/faces.csv')
predict('a faces.csv of something else', write('out/faces.csv', 'a,b\n1,2\n'),
        f'--out out {USUAL}', 'out/faces.csv', 'move it away')
predict('an empty faces.csv', write('new/faces.csv'), f'--out new {USUAL}')
predict('a device that is not there', nothing, '--out out --weights run --device cuda:7', 'cuda:7')
predict('a device that nobody knows', nothing, '--out out --weights run --device tpu', 'tpu', 'auto')
predict('less than no workers', nothing, f'--out out --workers -1 {USUAL}', 'workers must be 0 or more')
predict('a flag that there is not', nothing, '--otu out', '--otu', '--help')
predict('an unknown scheme', nothing, f'--out out --scheme noses {USUAL}', 'noses')
predict('a scheme that splits a class', write('s.json', {'name': 's', 'classes': ['background', 'a', 'b', 'c', 'd']}),
        f'--out out --scheme s.json {USUAL}', 's')


# Weights, through predict

def weights(name, spoil, path, *says, command='predict photo.png --out out --faces one'):
    "A case of weights that cannot be used; nothing is written."
    def check(): assert not Path('out').exists() and not Path('gift.txt').exists(), 'something was written'
    case(f'weights: {name}', spoil, f'{command} --weights {path} --device cpu', *says, check=check)

BEST = 'run/best.safetensors'

def rewrite(change):
    "A function that writes the weights again after `change(tensors, meta)`; what it returns is the text beside them."
    def spoil():
        from safetensors import safe_open
        from safetensors.torch import load_file, save_file
        with safe_open(BEST, 'pt') as f: meta = json.loads(f.metadata()['facemask_seg'])
        tensors = load_file(BEST)
        text = change(tensors, meta)
        save_file(tensors, BEST, {'facemask_seg': json.dumps(meta) if text is None else text})
    return spoil

def tensor(change):
    "A function that changes the first convolution's weights."
    def spoil(tensors, meta):
        name = next(k for k, v in tensors.items() if v.ndim == 4)
        tensors[name] = change(tensors[name])
    return rewrite(spoil)

def note(**changes): return rewrite(lambda tensors, meta: meta.update(changes))

def zeroed(at, to):
    "A function that writes other bytes over some of the weights' file."
    def spoil():
        with open(BEST, 'r+b') as f:
            f.seek(at)
            f.write(to)
    return spoil

weights('that are not there', nothing, 'gone', 'gone', 'no such file')
weights('a folder without weights', write('x/a.txt', 'x'), 'x', 'x/best.safetensors', 'no such file')
weights('a pickle, .pt', write('x.pt', GIFT), 'x.pt', 'x.pt', 'a pickle, which can run any code')
weights('a pickle, .pkl', write('x.pkl', GIFT), 'x.pkl', 'x.pkl', 'a pickle')
weights('a pickle that is called .safetensors', write('x.safetensors', GIFT),
        'x.safetensors', 'x.safetensors', 'pickle')
weights('a pickle in a run folder', write(BEST, GIFT), 'run', BEST, 'pickle')
weights('an empty file', write(BEST), 'run', BEST, 'not a safetensors file')
weights('a text', write(BEST, 'see attachment'), 'run', BEST, 'not a safetensors file')
weights('cut in half', cut(BEST), 'run', BEST, 'copy or download it again')
weights('one byte more', lambda: Path(BEST).write_bytes(Path(BEST).read_bytes() + b'x'),
        'run', BEST, 'copy or download it again')
weights('a header of 2**60 bytes', zeroed(0, struct.pack('<Q', 2**60)), 'run', BEST, 'copy or download it again')
weights('a header that is no JSON', zeroed(9, b'????'), 'run', BEST, 'copy or download it again')
weights('a header that is too deep', write(BEST, struct.pack('<Q', 200_000) + b'{"a":' + b'['*199_995),
        'run', BEST, 'copy or download it again')
weights('without a word about them', rewrite(lambda tensors, meta: ''), 'run', 'run', 'train it again')
weights('of another program', rewrite(lambda tensors, meta: '{"a": 1}'), 'run', 'run', 'train it again')
weights('of a later version', note(format=99), 'run', 'run', 'update facemask_seg')
weights('of a network that nobody knows', note(recipe={'model': 'huge'}), 'run', 'run', 'huge', 'update facemask_seg')
weights('of a scheme that is none', note(scheme={'name': 's', 'classes': ['a', 'b']}), 'run', 'run', 'train it again')
weights('for photos of 0 pixels', note(size=0), 'run', 'run', 'size')
weights('for photos of a million pixels a side', note(size=10**6), 'run', 'run', 'size')
weights('for photos of "large" pixels', note(size='large'), 'run', 'run', 'size')
weights('with statistics of two channels', note(stats={'mean': [.5, .5], 'std': [.5, .5]}), 'run', 'run')
weights('with a spread of 0', note(stats={'mean': [.5]*3, 'std': [0.]*3}), 'run', 'run')
weights('a layer that is missing', rewrite(lambda tensors, meta: [tensors.pop(min(tensors))][1:] or None),
        'run', 'run', 'lacks')
weights('a layer that is new', rewrite(lambda tensors, meta: tensors.update(new=tensors[min(tensors)].clone())),
        'run', 'run', 'unknown')
weights('a layer of another shape', tensor(lambda w: w[:1].contiguous()), 'run', 'run', 'the model needs')
weights('a layer of 64 bits', tensor(lambda w: w.double()), 'run', 'run', 'the model needs')
weights('a layer of 8 bits without scales', tensor(lambda w: w.char()), 'run', 'run', 'get another copy')
weights('numbers that are none', tensor(lambda w: w*float('nan')), 'run', 'run', 'not finite')
weights('numbers without end', tensor(lambda w: w + float('inf')), 'run', 'run', 'not finite')
weights('the newest of no runs', nothing, 'newest', 'runs/', 'facemask-seg train')
weights('gone, evaluate', nothing, 'gone', 'gone', 'no such file', command='evaluate packed')
weights('a pickle, evaluate', write('x.pt', GIFT), 'x.pt', 'x.pt', 'pickle', command='evaluate packed')


# Packed folders, through train and evaluate

def packed(name, spoil, *says, check=lambda: None):
    "A case of a packed folder that is spoiled; no run is begun."
    case(f'packed: {name}', spoil, f'train packed --run new {" ".join(TINY)}', *says, check=check)

def manifest(**changes): return edit('packed/manifest.json', lambda d: d.update(changes))
def without(key): return edit('packed/manifest.json', lambda d: d.pop(key))

def npy(file, array): return lambda: np.save(file, array)

def paint_a_stray():
    "An id that the scheme does not have, in a folder that is finished."
    masks = np.load('packed/masks.npy', mmap_mode='r+')
    masks[0, 0, 0] = 77
    masks.flush()

IMAGES, MASKS = 'packed/images.npy', 'packed/masks.npy'
packed('that is not there', remove('packed'), 'packed', 'make one')
packed('that is a file', both(remove('packed'), write('packed', 'x')), 'packed', 'make one')
packed('that is empty', both(remove('packed'), lambda: Path('packed').mkdir()), 'packed', 'make one')
packed('whose conversion was interrupted', rename('packed/manifest.json', 'packed/unfinished.jsonl'),
       'packed', 'run the same again')
packed('a manifest that is no JSON', write('packed/manifest.json', '{"n": 1'), 'packed/manifest.json', 'is not JSON')
packed('a manifest that is empty', write('packed/manifest.json'), 'packed/manifest.json', 'is not JSON')
packed('a manifest that is a list', write('packed/manifest.json', []), 'packed/manifest.json', 'holds a list')
packed('a manifest that is too deep', write('packed/manifest.json', '['*200_000), 'packed/manifest.json', 'is not JSON')
packed('a manifest in another encoding', write('packed/manifest.json', '{"n": "ä"}'.encode('utf-16')),
       'packed/manifest.json', 'is not JSON')
packed('of a later version', manifest(format=2), 'packed', 'format 2')
for key in 'scheme', 'size', 'n', 'names', 'class_pixels', 'pixels', 'fingerprint':
    packed(f'without {key}', without(key), 'packed/manifest.json', key, 'pack the folder again')
packed('of 13 faces that has 12', manifest(n=13), 'packed')
packed('of -1 faces', manifest(n=-1), 'packed')
packed('of "12" faces', manifest(n='12'), 'packed', 'pack the folder again')
packed('of 10**15 faces', manifest(n=10**15), 'packed')
packed('of half a face', manifest(n=.5), 'packed')
packed('of 0 pixels', manifest(size=0), 'packed')
packed('of "32" pixels', manifest(size='32'), 'packed', 'pack the folder again')
packed('of 32.0 pixels', manifest(size=32.), 'packed', 'pack the folder again')
packed('names for 11 of 12 faces', edit('packed/manifest.json', lambda d: d['names'].pop()),
       'packed', 'pack the folder again')
packed('names that are none', manifest(names=3), 'packed', 'pack the folder again')
packed('a scheme that is a word', manifest(scheme='eyes_lips'), 'packed/manifest.json', 'pack the folder again')
packed('a scheme without classes', edit('packed/manifest.json', lambda d: d['scheme'].pop('classes')),
       'packed/manifest.json', 'classes')
packed('a scheme of other classes',
       edit('packed/manifest.json', lambda d: d['scheme'].update(classes=['background', 'a', 'a'])),
       'packed/manifest.json')
packed('counts that are none', manifest(class_pixels=[1, 2]), 'packed', 'pack the folder again')
packed('counts of text', edit('packed/manifest.json', lambda d: d['class_pixels'].update(lips='many')),
       'packed', 'pack the folder again')
packed('statistics that are none', manifest(pixels=[.5, .5]), 'packed', 'pack the folder again')
packed('a fingerprint that is a number', manifest(fingerprint=7), 'packed', 'pack the folder again')
packed('without images', remove(IMAGES), IMAGES, 'pack the folder again')
packed('without masks', remove(MASKS), MASKS, 'pack the folder again')
packed('empty images', write(IMAGES), IMAGES, 'pack the folder again')
packed('images cut in half', cut(IMAGES), IMAGES, 'pack the folder again')
packed('images that are a pickle', write(IMAGES, GIFT), IMAGES, 'pack the folder again',
       check=lambda: None if not Path('gift.txt').exists() else 1/0)
packed('images of objects', write(IMAGES, object_array()), IMAGES, 'pack the folder again',
       check=lambda: None if not Path('gift.txt').exists() else 1/0)
packed('images of floats', npy(IMAGES, np.zeros((12, 32, 32, 3))), IMAGES, 'pack the folder again')
packed('images that are grey', npy(IMAGES, np.zeros((12, 32, 32), np.uint8)), IMAGES, 'pack the folder again')
packed('images that are a folder', both(remove(IMAGES), lambda: Path(IMAGES).mkdir()), IMAGES)
packed('masks of 16 bits', npy(MASKS, np.zeros((12, 32, 32), np.uint16)), MASKS, 'pack the folder again')
packed('an id that the scheme does not have', paint_a_stray, 'packed', 'the folder was changed', 'pack it again')
packed('of two faces', lambda: (remove('packed')(), repack(2)), '2 faces', 'at least 3')
packed('of one face', lambda: (remove('packed')(), repack(1)), '1 faces', 'at least 3')

def in_shards(spoil):
    "A function that makes the packed folder one of several shards, and then spoils them."
    def both_of_them():
        Path('packed').rename('a')
        Path('packed').mkdir()
        Path('a').rename('packed/a')
        spoil()
    return both_of_them

def drawn(dest, **options):
    "A function that packs three drawn faces."
    def spoil():
        from facemask_seg.convert import pack_drawn
        pack_drawn(dest, 3, progress=False, **{'size': 32, **options})
    return spoil

def of_one_class():
    "A shard with another scheme."
    from facemask_seg.labels import FOREGROUND
    drawn('packed/b', scheme=FOREGROUND)()

packed('in two shards', in_shards(drawn('packed/b')))
packed('in shards, the same faces twice', in_shards(copy('packed/a', 'packed/b')),
       'packed/b', 'the same faces as packed/a', 'remove one')
packed('in shards of two sizes', in_shards(drawn('packed/b', size=48)),
       'packed/b', 'has 48 px, packed/a has 32', 'pack one of them again')
packed('in shards of two schemes', in_shards(of_one_class), 'packed/b', 'foreground', 'pack one of them again')
packed('in shards, one of them interrupted',
       in_shards(both(drawn('packed/b'), rename('packed/b/manifest.json', 'packed/b/unfinished.jsonl'))),
       'packed/b', 'run the same again')
packed('in shards, one of them damaged', in_shards(both(drawn('packed/b'), cut('packed/b/masks.npy'))),
       'packed/b/masks.npy', 'pack the folder again')
packed('in shards beside another folder', in_shards(lambda: Path('packed/photos').mkdir()),
       'packed', 'keep nothing else beside them')

def repack(n):
    "The faces packed again, so many of them."
    from facemask_seg.convert import pack
    pack('faces', 'packed', size=32, limit=n, allow_empty=True, progress=False)

case('evaluate: the first faces only', lambda: (remove('packed')(), repack(6)),
     'evaluate packed --weights run --device cpu', 'were used to train')
case('evaluate: classes that the model does not have', lambda: (remove('packed')(), repack_as_face()),
     'evaluate packed --weights run --device cpu --split all')
case('evaluate: the test of 2 faces', lambda: (remove('packed')(), repack(2)),
     'evaluate packed --weights run --device cpu', '2', 'at least 3')
case('evaluate: a folder that is not there', nothing, 'evaluate gone --weights run', 'gone', 'make one')

def repack_as_face():
    "The faces packed again, with nineteen classes."
    from facemask_seg.convert import pack
    from facemask_seg.labels import FACE
    pack('faces', 'packed', size=32, scheme=FACE, allow_empty=True, progress=False)


# Recipes, flags and run folders, through train

def train(name, words, *says, spoil=nothing):
    "A case of a good packed folder and a request that makes no sense."
    case(f'train: {name}', spoil, f'train packed --run new {" ".join(TINY)} {words}', *says)

def recipe(name, content, *says):
    "A case of a recipe's file."
    train(f'recipe, {name}', '--recipe r.json', *says, spoil=write('r.json', content))

recipe('no JSON', '{"lr": ', 'r.json', 'is not JSON')
recipe('a list', [1], 'r.json', 'holds a list')
recipe('empty', '', 'r.json', 'is not JSON')
recipe('a pickle', GIFT, 'r.json', 'is not JSON')
recipe('in UTF-16', '{"lr": 1}'.encode('utf-16'), 'r.json', 'is not JSON')
recipe('a field that there is not', {'learning_rate': 1}, 'r.json', 'learning_rate', 'lr')
recipe('a rate of text', {'lr': '1e-3'}, 'r.json', 'lr', 'a number above 0')
recipe('a rate that is no number', '{"lr": NaN}', 'r.json', 'lr', 'a number above 0')
recipe('a rate without end', '{"lr": 1e999}', 'r.json', 'lr', 'a number above 0')
recipe('a momentum of a list', {'momentum': [1, 2]}, 'r.json', 'momentum')
recipe('a loss of a list', {'loss': ['dice']}, 'r.json', 'loss')
recipe('a scheme of a list', {'scheme': ['eyes']}, 'r.json', 'scheme')
recipe('a scheme of nonsense', {'scheme': {'name': 's', 'classes': 3}}, 'r.json', 'classes')
recipe('a scheme that splits a class', {'scheme': {'name': 's', 'classes': ['background', 'a', 'b']}}, 's')
recipe('class weights of text', {'class_weights': ['a', 'b', 'c', 'd']}, 'r.json', 'class_weights')
train('a recipe that is not there', '--recipe gone.json', 'gone.json', 'no such file')
train('a rate of 0', '--lr 0', 'lr', 'a number above 0')
train('a rate of abc', '--lr abc', '--lr', 'abc')
train('no epochs', '--epochs 0', 'epochs', 'from 1')
train('one epoch and a half', '--epochs 1.5', '--epochs', '1.5')
train('batches of none', '--batch-size 0', 'batch_size', 'from 1')
train('photos of 0 pixels', '--size 0', 'size', 'from 1')
train('photos of a million pixels a side', '--size 1000000', 'size')
train('a network that nobody knows', '--model huge', 'model', 'tiny_unet')
train('a loss that nobody knows', '--loss l1', 'loss', 'dice')
train('class weights for two classes', '--class-weights 1,2', 'class_weights', '4 numbers')
train('a seed below 0', '--seed -1', 'seed', 'from 0')
train('a rate that explodes', '--lr 1e30 --optimizer sgd', 'Try a lower lr')
train('an encoder that is not there', '--model resnet34_unet --weights gone.safetensors', 'gone.safetensors')
train('an encoder that is a pickle', '--model resnet34_unet --weights x.pth', 'x.pth', 'never loaded',
      spoil=write('x.pth', GIFT))
train('an encoder for the tiny network', '--weights x.safetensors', 'weights', 'tiny_unet')
train('less than no workers', '--workers -1', 'workers')
train('a device that is not there', '--device mps', 'mps')
train('bf16 by another name', '--precision half', 'precision', 'bf16')
train('a run folder that is a file', '--run photo.png', 'photo.png', 'choose another run folder')
train('a run folder that holds something else', '--run faces', 'faces', 'choose another run folder')
train('a run folder of another recipe', '--run run --lr 0.5', 'run', 'lr')
train('a run folder where nothing can be written', '--run /proc/1/x', '/proc/1/x')
train('a result that is no JSON', '--run run', 'run/result.json', 'is not JSON', spoil=write('run/result.json', '{'))
train('a result of something else', '--run run', 'run/result.json', 'choose another run folder',
      spoil=write('run/result.json', {}))
train('a run of other data', '--run run', 'trained on other data', spoil=lambda: (remove('packed')(), repack(8)))
train('a resume file that is a pickle', '--run run', 'run/resume.safetensors', 'pickle',
      spoil=both(remove('run/result.json'), write('run/resume.safetensors', GIFT)))
train('a resume file cut in half', '--run run', 'run/resume.safetensors',
      spoil=both(remove('run/result.json'), copy(BEST, 'run/resume.safetensors'), cut('run/resume.safetensors')))
train('a resume file of something else', '--run run', 'run/resume.safetensors', 'delete it to begin again',
      spoil=both(remove('run/result.json'), copy(BEST, 'run/resume.safetensors')))


# Photos and masks, through convert

def convert(name, spoil, *says, words='', check=lambda: None):
    "A case of a source that is spoiled."
    case(f'convert: {name}', spoil, f'convert faces new --size 32 {words}', *says, check=check)

def every_mask(change):
    "A function that writes every mask again."
    def spoil():
        for file in Path('faces/labels').iterdir(): change(file, np.asarray(Image.open(file)))
    return spoil

def left_out(file, *says):
    "A check: the other eleven faces are packed, and this one has its line."
    def check():
        m = json.loads(Path('new/manifest.json').read_text())
        assert m['n'] == 11, f'{m["n"]} faces'
        assert [p['file'] for p in m['problems']] == [file], m['problems']
        assert all(s in m['problems'][0]['reason'] for s in says), m['problems']
    return check

def one(name, spoil, file, *says): convert(f'one of 12, {name}', spoil, check=left_out(file, *says))

PHOTO, LABEL = 'faces/images/00003.png', 'faces/labels/00003.png'
PHOTO_IN, LABEL_IN = 'images/00003.png', 'labels/00003.png'
one('an empty photo', write(PHOTO), PHOTO_IN, 'empty')
one('a photo cut in half', cut(PHOTO), PHOTO_IN, NO_IMAGE)
one('a photo without a mask', remove(LABEL), PHOTO_IN, 'no mask')
one('a mask without a photo', remove(PHOTO), LABEL_IN, 'no photo')
one('an empty mask', write(LABEL), LABEL_IN, 'empty')
one('a mask of another shape', array(LABEL, np.zeros((48, 20), np.uint8)), LABEL_IN, 'not the same shape')
one('a mask of unknown ids', array(LABEL, np.full((48, 48), 99, np.uint8)), LABEL_IN, '99')
one('a mask in colours', array(LABEL, np.arange(48*48*3).reshape(48, 48, 3).astype(np.uint8)),
    LABEL_IN, 'grey or palette')
one('a mask of 16 bits', array(LABEL, np.full((48, 48), 999, np.uint16)), LABEL_IN, '8')
one('a mask of floats', both(remove(LABEL), array('faces/labels/00003.tif', np.ones((48, 48), np.float32))),
    'labels/00003.tif', '8 bits')
one('a mask as JPEG', both(remove(LABEL), array('faces/labels/00003.jpg', np.zeros((48, 48), np.uint8))),
    'labels/00003.jpg', 'save masks as PNG')
one('a mask that is a pickle', write(LABEL, GIFT), LABEL_IN, NO_IMAGE)
one('two photos of a name', copy(PHOTO, 'faces/images/00003.bmp'), PHOTO_IN, 'another photo has its name')
one('a photo of 30000 x 30000', write(PHOTO, png(30000, 30000)), PHOTO_IN, 'make it smaller')
one('a photo that is a folder', both(remove(PHOTO), lambda: Path(PHOTO).mkdir()), PHOTO_IN, 'is a folder')
one('a photo that is a link to nowhere', both(remove(PHOTO), lambda: os.symlink('gone', PHOTO)),
    PHOTO_IN, 'no such file')

convert('a source that is not there', remove('faces'), 'faces', 'no such folder')
convert('a source that is a file', both(remove('faces'), write('faces', 'x')), 'faces', 'no such folder')
convert('a source of one folder', remove('faces/labels'), 'faces', 'images/ and labels/')
convert('a source of three folders', copy('faces/labels', 'faces/masks'), 'faces', 'keep only one kind')
convert('a source without photos', both(remove('faces/images'), lambda: Path('faces/images').mkdir()),
        'faces', 'no photos in images/')
convert('masks of 0 and 255 under labels', every_mask(lambda f, m: Image.fromarray(np.uint8(255*(m > 0))).save(f)),
        'called masks')
convert('masks of 0 and 255 for three classes',
        both(every_mask(lambda f, m: Image.fromarray(np.uint8(255*(m > 0))).save(f)),
             rename('faces/labels', 'faces/masks')),
        'faces', '--scheme foreground')
convert('masks of nothing', every_mask(lambda f, m: Image.fromarray(0*m).save(f)),
        'left_eye or right_eye or lips', '--allow-empty')
convert('class ids that are read as parts', every_mask(lambda f, m: Image.fromarray(m % 4).save(f)),
        'lips', '--ids scheme')
convert('no mask that can be used', every_mask(lambda f, m: f.write_bytes(b'')),
        'labels/00000.png', 'the file is empty')
convert('photos of 0 pixels', nothing, 'size', words='--size 0')
convert('photos of a million pixels a side', nothing, 'size', words='--size 1000000')
convert('no faces at all', nothing, 'limit', words='--limit 0')
convert('less than no workers', nothing, 'workers', words='--workers -2')
convert('ids of another kind', nothing, 'ids is one of', words='--ids cityscapes')
convert('a scheme that nobody knows', nothing, 'noses', words='--scheme noses')
for name, content, says in [
    ('no JSON', '{', 'is not JSON'), ('a list', [1], 'got a list'), ('no classes', {'name': 's'}, 'classes'),
    ('one class', {'name': 's', 'classes': ['background']}, '2 to'),
    ('no background', {'name': 's', 'classes': ['a', 'b']}, 'background'),
    ('a class twice', {'name': 's', 'classes': ['background', 'a', 'a']}, 'twice'),
    ('300 classes', {'name': 's', 'classes': ['background', *map(str, range(299))]}, '2 to'),
    ('a colour of words', {'name': 's', 'classes': ['background', 'a'], 'colors': ['red', 'blue']}, 'colors'),
    ('a pair with itself', {'name': 's', 'classes': ['background', 'a'], 'pairs': [[1, 1]]}, 'pairs'),
    ('pairs of text', {'name': 's', 'classes': ['background', 'a'], 'pairs': [['a', 'b']]}, 'pairs'),
    ('a part that nobody has', {'name': 's', 'classes': ['background', 'a'], 'sources': [[], ['tail']]}, 'tail'),
    ('a field that there is not', {'name': 's', 'classes': ['background', 'a'], 'colour': 1}, 'colour'),
    ('a name of a number', {'name': 3, 'classes': ['background', 'a']}, 'name')]:
    convert(f'a scheme, {name}', write('s.json', content), 's.json', says, words='--scheme s.json')
case('convert: into a file', nothing, 'convert faces photo.png --size 32', 'photo.png')
case('convert: into a finished folder', nothing, 'convert faces packed --size 32', 'packed', 'choose another folder')
case('convert: into its own source', nothing, 'convert packed packed --size 16', 'packed', 'choose another folder')
case('convert: into a folder of something else', write('new/images.npy', 'mine'),
     'convert faces new --size 32', 'new/images.npy', 'choose another folder')
case('convert: where nothing can be written', nothing, 'convert faces /proc/1/x --size 32', '/proc/1/x')
case('convert: into another unfinished folder', write('new/unfinished.jsonl', '{"size": 99}\n'),
     'convert faces new --size 32', 'new', 'choose another folder')
case('convert: a journal that is damaged', write('new/unfinished.jsonl', b'\xff\0'),
     'convert faces new --size 32', 'new/unfinished.jsonl', 'delete')
case('convert: a journal of numbers', write('new/unfinished.jsonl', '1\n2\n'),
     'convert faces new --size 32', 'new/unfinished.jsonl', 'delete')
case('convert: a packed folder that is damaged', cut(IMAGES), 'convert packed new --size 16', IMAGES, 'pack')
case('convert: a packed folder with a byte changed', paint_a_stray, 'convert packed new --size 16', 'packed', 'pack')
case('convert: as the original, from masks', rename('faces/labels', 'faces/masks'),
     'convert faces new --original', 'faces', 'part')


# Experiments

def experiment(name, words, *says, spoil=nothing):
    "A case of an experiment."
    case(f'experiment: {name}', spoil, f'experiment {words} --results results', *says)

experiment('none', '', '--list')
experiment('one that nobody knows', 'cooking --data packed', 'cooking', 'autopsy')
experiment('without data', 'four_classes', '--data')
experiment('data that are not there', 'four_classes --data gone', 'gone', 'make one')
experiment('no seeds', 'four_classes --data packed --seeds 0', 'seeds')
experiment('no epochs', 'four_classes --data packed --epochs 0', 'epochs')
experiment('photos of 0 pixels', 'four_classes --data packed --size 0', 'size')
experiment('a precision that nobody knows', 'four_classes --data packed --precision half', 'precision')
experiment('an encoder that is a pickle', 'unfreezing --data packed --encoder x.pt --epochs 1', 'x.pt', 'pickle',
           spoil=write('x.pt', GIFT))
experiment('report masks that are none', 'autopsy --data packed --report-masks gone --epochs 1', 'gone')
experiment('a stored run that is no JSON', '--list', 'results/runs/x.json', spoil=write('results/runs/x.json', '{'))
experiment('a stored run of something else', '--list', 'results/runs/x.json',
           spoil=write('results/runs/x.json', {'a': 1}))


# All of it

def problems(c: Case, done: Outcome, before: dict, after: dict) -> Iterator[str]:
    "What is wrong with how a case ended."
    lines = done.err.splitlines()
    errors = [line for line in lines if line.startswith('facemask-seg: error: ')]
    if done.code is None: yield done.err[-1500:]
    elif done.code != (2 if c.says else 0): yield f'exit code {done.code}: {done.err[-800:]}'
    elif c.says and len(errors) != 1: yield f'{len(errors)} lines of error: {done.err}'
    elif c.says:
        message = errors[0].replace('\\n', ' ')
        yield from (f'does not say {s!r}: {errors[0]}' for s in c.says if s not in message)
    yield from (f'an odd line: {line}' for line in lines if not line.startswith('facemask-seg: '))
    if 'gift.txt' in after: yield 'A PICKLE WAS OPENED'
    mine = [f for f in before if not f.startswith('new/')]
    yield from (f'{f} is {"gone" if f not in after else "not as it was"}' for f in mine if before[f] != after.get(f))
    yield from (f'{f} was left over' for f in after if '.facemask_seg-' in f)
    yield from (f'{f} is new' for f in after.keys() - before.keys() if f.split('/')[0] not in MAY_CHANGE)


def run_case(c: Case, material: Path) -> tuple[str, str]:
    "Spoil a copy of the material and run the command in it; how it went, and what is wrong with that."
    with workplace() as here:
        shutil.copytree(material, here, dirs_exist_ok=True)
        c.spoil()
        before = contents(here)
        done = command(*c.words)
        wrong = list(problems(c, done, before, contents(here)))
        try: wrong or c.check()
        except Exception as e: wrong.append(f'{type(e).__name__}: {e}')
        return 'refused, one line' if c.says else 'right', '\n'.join(wrong)


def main() -> int:
    "Run all cases, or those that are asked for; the exit code."
    asked = [word for word in sys.argv[1:] if word != '--short']   # it is short enough
    chosen = [c for c in CASES if not asked or any(w in c.name for w in asked)]
    table = Table()
    with workplace() as material:
        make_material(material)
        (material/'plain_mask.png').write_bytes(plain_mask(material))
        for c in chosen: table.add(c.name, *run_case(c, material))
    return table.close()


def plain_mask(material: Path) -> bytes:
    "The mask of the plain photo, as predict writes it."
    with workplace() as here:
        done = command('predict', material/'photo.png', '--out', here, '--weights', material/'run', '--device', 'cpu',
                       '--faces', 'one')
        assert done.code == 0, done.err
        return (here/'photo_mask.png').read_bytes()


if __name__ == '__main__': sys.exit(main())
