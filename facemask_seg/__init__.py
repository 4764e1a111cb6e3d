"""Find eyes and lips, or classes of your own, in photos of faces.

    from facemask_seg import DEFAULT, Segmenter, fit, pack

    pack('my-faces', 'packed')                            # photos and masks -> one folder
    fit(DEFAULT, 'packed', 'runs/mine')                   # -> a trained network
    Segmenter.load('runs/mine').predict('photo.jpg')      # -> a mask of the photo's own size

What is named here is what most people need. Everything else lives in the module of its chapter, such as
`facemask_seg.losses`. Importing the package is quick: a module, and PyTorch with it, is loaded when a name of it is used.
"""
__version__ = "0.1.0"

from typing import TYPE_CHECKING

__all__ = [
    'Scheme', 'EYES_LIPS', 'FOREGROUND', 'REST_OF_FACE', 'SCHEMES', 'show_masks', 'overlay',  # labels
    'draw_face', 'draw_faces', 'write_faces',  # faces
    'Packed',  # packed
    'pack', 'pack_drawn',  # convert
    'load_model', 'read_meta',  # weights
    'Recipe', 'DEFAULT', 'DEMO', 'fit',  # train
    'Segmenter', 'Prediction',  # predict
]

if TYPE_CHECKING:  # for editors and type checkers, which do not run `__getattr__`
    from .labels import Scheme, EYES_LIPS, FOREGROUND, REST_OF_FACE, SCHEMES, show_masks, overlay
    from .faces import draw_face, draw_faces, write_faces
    from .packed import Packed
    from .convert import pack, pack_drawn
    from .weights import load_model, read_meta
    from .train import Recipe, DEFAULT, DEMO, fit
    from .predict import Segmenter, Prediction

_HOME = {
    'labels': ('Scheme', 'EYES_LIPS', 'FOREGROUND', 'REST_OF_FACE', 'SCHEMES', 'show_masks', 'overlay'),
    'faces': ('draw_face', 'draw_faces', 'write_faces'),
    'packed': ('Packed',),
    'convert': ('pack', 'pack_drawn'),
    'weights': ('load_model', 'read_meta'),
    'train': ('Recipe', 'DEFAULT', 'DEMO', 'fit'),
    'predict': ('Segmenter', 'Prediction'),
}


def __getattr__(name: str):
    "Load the module that a name lives in when the name is first used (PEP 562)."
    from importlib import import_module
    for module, names in _HOME.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f'{__name__}.{module}'), name)
            return value
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
