"""The functions of hadpo.h for ctypes: signatures, the library they are in, and how a call reports its failure.

Nothing here is public; Tests/ABI/check_ctypes.py compares SIGNATURES with include/hadpo.h.
"""

from __future__ import annotations

import ctypes
import json
from typing import Any, Optional

from ._errors import make_error
from ._find import candidates, not_found

ABI = 0
NUL = ctypes.c_size_t(-1).value
EventFunction = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t, ctypes.c_void_p)

_status, _pointer, _text, _size = ctypes.c_int32, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
_out = ctypes.POINTER(ctypes.c_void_p)

# name: (result, parameters), in the header's order; Tests/ABI/check_ctypes.py compares them with include/hadpo.h.
SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "hadpo_abi": (ctypes.c_uint32, []),
    "hadpo_version": (_text, []),
    "hadpo_status_name": (_text, [_status]),
    "hadpo_error_json": (_text, [_pointer]),
    "hadpo_error_free": (None, [_pointer]),
    "hadpo_bytes_data": (_pointer, [_pointer]),
    "hadpo_bytes_size": (_size, [_pointer]),
    "hadpo_bytes_free": (None, [_pointer]),
    "hadpo_config_default": (_status, [_text, _out, _out]),
    "hadpo_config_resolve": (_status, [_text, _size, _out, _out]),
    "hadpo_config_complete": (_status, [_text, _size, _pointer, _out, _out]),
    "hadpo_engine_open": (_status, [_text, _size, EventFunction, _pointer, _out, _out]),
    "hadpo_engine_interrupt": (None, [_pointer]),
    "hadpo_engine_free": (None, [_pointer]),
    "hadpo_image_from_rgb8": (_status, [_pointer, _size, _size, _size, _out, _out]),
    "hadpo_image_decode": (_status, [_pointer, _size, _out, _out]),
    "hadpo_image_free": (None, [_pointer]),
    "hadpo_model_open": (_status, [_pointer, _text, _size, _out, _out]),
    "hadpo_model_describe": (_status, [_pointer, _out, _out]),
    "hadpo_model_generate": (_status, [_pointer, _text, _size, _pointer, _out, _out]),
    "hadpo_model_score": (_status, [_pointer, _text, _size, _pointer, ctypes.POINTER(ctypes.c_float), _size,
                                    ctypes.POINTER(_size), _out]),
    "hadpo_model_inspect": (_status, [_pointer, _text, _size, _pointer, _text, _out]),
    "hadpo_adapter_load": (_status, [_pointer, _text, _out]),
    "hadpo_adapter_unload": (_status, [_pointer, _out]),
    "hadpo_export": (_status, [_pointer, _text, _size, _out]),
    "hadpo_model_free": (None, [_pointer]),
    "hadpo_trainer_open": (_status, [_pointer, _text, _size, _out, _out]),
    "hadpo_trainer_run": (_status, [_pointer, ctypes.c_uint64, _out, _out]),
    "hadpo_trainer_save": (_status, [_pointer, _text, _out]),
    "hadpo_trainer_resume": (_status, [_pointer, _text, _out]),
    "hadpo_trainer_inspect": (_status, [_pointer, _text, _out]),
    "hadpo_trainer_free": (None, [_pointer]),
    "hadpo_data_check": (_status, [_pointer, _text, _size, _out, _out]),
    "hadpo_pope_run": (_status, [_pointer, _text, _size, _out, _out]),
    "hadpo_pope_score": (_status, [_text, _size, _text, _size, _out, _out]),
    "hadpo_pope_evaluate": (_status, [_text, _size, _out, _out]),
    "hadpo_pope_build": (_status, [_text, _size, _out, _out]),
    "hadpo_chair_score": (_status, [_text, _size, _out, _out]),
    "hadpo_shr_describe": (_status, [_pointer, _text, _size, _out, _out]),
    "hadpo_shr_requests": (_status, [_text, _size, _out, _out]),
    "hadpo_shr_score": (_status, [_text, _size, _out, _out]),
    "hadpo_shr_agree": (_status, [_text, _size, _out, _out]),
    "hadpo_report_write": (_status, [_text, _size, _out, _out]),
    "hadpo_world_make": (_status, [_pointer, _text, _size, _out, _out]),
    "hadpo_world_pairs": (_status, [_pointer, _text, _size, _out, _out]),
    "hadpo_world_train": (_status, [_pointer, _text, _size, _out, _out]),
}


def bind(path: str) -> ctypes.CDLL:
    """The library at `path` with every signature declared."""
    library = ctypes.CDLL(path)
    for name, (result, parameters) in SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, parameters
    return library


_library: Optional[ctypes.CDLL] = None


def library() -> ctypes.CDLL:
    """Loaded at the first call and not at import: type checkers and documentation tools import without a library."""
    global _library
    if _library is None:
        tried = []
        for path, origin in candidates():
            try:
                found = bind(path)
            except (OSError, AttributeError) as problem:  # not there, or of another version
                tried.append(f"{origin}: {problem}")
                continue
            if found.hadpo_abi() != ABI:
                tried.append(f"{origin}: {path} has ABI {found.hadpo_abi()}, this package needs {ABI}")
                continue
            _library = found
            return found
        raise not_found(tried)
    return _library


def call(name: str, *arguments: Any) -> None:
    """Calls a function whose last parameter is the error."""
    error = ctypes.c_void_p()
    status = getattr(library(), name)(*arguments, ctypes.byref(error))
    if status != 0:
        text = library().hadpo_error_json(error) if error else None
        record = json.loads(text) if text else {"message": library().hadpo_status_name(status).decode()}
        library().hadpo_error_free(error)
        raise make_error(status, record)


def answer(name: str, *arguments: Any) -> Any:
    """Calls a function that answers with JSON."""
    result = ctypes.c_void_p()
    call(name, *arguments, ctypes.byref(result))
    try:
        return json.loads(ctypes.string_at(library().hadpo_bytes_data(result), library().hadpo_bytes_size(result)))
    finally:
        library().hadpo_bytes_free(result)
