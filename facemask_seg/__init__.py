"""Find eyes and lips, or classes of your own, in photos of faces.

    from facemask_seg import DEFAULT, Segmenter, fit, pack

    Segmenter.load().predict('photo.jpg')              # -> a mask of every face, by the model of the package

    pack('my-faces', 'packed')                         # photos and masks -> one folder
    fit(DEFAULT, 'packed', 'runs/mine')                # -> a trained network
    Segmenter.load('runs/mine').predict('photo.jpg')   # -> a mask of the photo's own size

What is named here is what most people need. Everything else lives in the module of its chapter, such as
`facemask_seg.losses`. Importing the package is quick: a module, and PyTorch with it, is loaded when one of its names is used.
"""
__version__ = "0.1.0"

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what editors and type checkers see; Python itself goes through `__getattr__`
    from .labels import EYES_LIPS, FACE, FOREGROUND, IGNORE, REST_OF_FACE, SCHEMES, Scheme, overlay, read_scheme, show_masks
    from .faces import draw_face, draw_faces, write_faces
    from .packed import Packed
    from .convert import pack, pack_drawn
    from .weights import load_model, read_meta
    from .train import DEFAULT, DEMO, Recipe, fit
    from .predict import Prediction, Segmenter, eye_openness, predict_files, tint
    from .deploy import export_onnx

__all__ = [
    'EYES_LIPS', 'FACE', 'FOREGROUND', 'IGNORE', 'REST_OF_FACE', 'SCHEMES', 'Scheme', 'overlay', 'read_scheme', 'show_masks',
    'draw_face', 'draw_faces', 'write_faces', 'Packed', 'pack', 'pack_drawn', 'load_model', 'read_meta',
    'DEFAULT', 'DEMO', 'Recipe', 'fit', 'Prediction', 'Segmenter', 'eye_openness', 'predict_files',
    'tint', 'export_onnx',
]

_HOME = {
    'EYES_LIPS': 'labels', 'FACE': 'labels', 'FOREGROUND': 'labels', 'IGNORE': 'labels', 'REST_OF_FACE': 'labels',
    'SCHEMES': 'labels', 'Scheme': 'labels', 'overlay': 'labels', 'read_scheme': 'labels', 'show_masks': 'labels',
    'draw_face': 'faces', 'draw_faces': 'faces', 'write_faces': 'faces', 'Packed': 'packed', 'pack': 'convert',
    'pack_drawn': 'convert', 'load_model': 'weights', 'read_meta': 'weights', 'DEFAULT': 'train', 'DEMO': 'train',
    'Recipe': 'train', 'fit': 'train', 'Prediction': 'predict', 'Segmenter': 'predict', 'eye_openness': 'predict',
    'predict_files': 'predict', 'tint': 'predict',
    'export_onnx': 'deploy',
}


def __getattr__(name: str):
    "Load the module that a name lives in when the name is first used (PEP 562)."
    if name not in _HOME: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib import import_module
    globals()[name] = value = getattr(import_module(f'{__name__}.{_HOME[name]}'), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
