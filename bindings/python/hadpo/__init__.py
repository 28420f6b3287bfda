"""libhadpo: measure how much a vision-language model invents, and train it to invent less (HA-DPO).

    import hadpo

    with hadpo.Engine() as engine, hadpo.Model(engine, "llava-1.5-7b-hf") as model:
        print(model.generate("kitchen.jpg", question="Describe this image in detail.")["text"])

Keyword arguments are the keys of the configuration that the C function takes: `config_default("hadpo.train/1")` lists them
with their defaults. Failures are `HadpoError`, a subclass for each status. docs/getting-started-python.md goes from here
to a measured result.
"""

from ._engine import Engine
from ._errors import (
    ArgumentError, BusyError, CallbackError, CancelledError, ConfigError, DeviceError, FileError, FormatError, HadpoError,
    InternalError, JSONError, MissingFileError, NumericsError, OutOfMemoryError, StateError, UnsupportedError, WeightsError,
)
from ._find import LibraryNotFoundError
from ._functions import (
    chair_score, config_default, config_resolve, pope_build, pope_evaluate, pope_score, report_write, shr_agree, shr_requests,
    shr_score, version,
)
from ._image import Image, ImageLike
from ._model import Adapter, Model
from ._results import Answer, DataCheck, Event, ModelDescription, PopeReport, Problem, Report, Step, TrainReport
from ._stream import TextStream
from ._trainer import Trainer, scalars

Error = HadpoError

__all__ = [
    "Adapter", "Answer", "ArgumentError", "BusyError", "CallbackError", "CancelledError", "ConfigError", "DataCheck",
    "DeviceError", "Engine", "Error", "Event", "FileError", "FormatError", "HadpoError", "Image", "ImageLike", "InternalError",
    "JSONError", "LibraryNotFoundError", "MissingFileError", "Model", "ModelDescription", "NumericsError",
    "OutOfMemoryError", "PopeReport", "Problem", "Report", "StateError", "Step", "TextStream", "TrainReport", "Trainer",
    "UnsupportedError", "WeightsError", "chair_score", "config_default", "config_resolve", "pope_build", "pope_evaluate",
    "pope_score", "report_write", "scalars", "shr_agree", "shr_requests", "shr_score", "version",
]
