"""libhadpo from Python: a thin layer on ctypes, without packages.

    import hadpo
    with hadpo.Engine(on_event=print) as engine, hadpo.Model(engine, path="llava-1.5-7b-hf") as model:
        print(model.generate(hadpo.Image.open("kitchen.jpg"), question="Describe this image in detail.")["text"])

Keyword arguments are the keys of the config that the C function takes (`config_default("hadpo.train/1")` lists them).
The library is looked for in HADPO_LIBRARY, then by its name.
"""

import ctypes
import json
import os

NUL = ctypes.c_size_t(-1).value
EventFunction = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t, ctypes.c_void_p)

_status, _pointer, _text, _size = ctypes.c_int32, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
_out = ctypes.POINTER(ctypes.c_void_p)

# name: (result, parameters), in the header's order; Tests/ABI/check_ctypes.py compares them with include/hadpo.h.
SIGNATURES = {
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


def bind(path):
    """The library at `path` with every signature declared."""
    library = ctypes.CDLL(path)
    for name, (result, parameters) in SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, parameters
    return library


_library = None


def library():
    global _library
    if _library is None:
        _library = bind(os.environ.get("HADPO_LIBRARY") or "libhadpo.so.0")
    return _library


class Error(Exception):
    """A call that failed. `status` is its number, `record` everything the library said."""

    def __init__(self, status, record):
        self.status, self.record = status, record
        parts = [record.get("message") or library().hadpo_status_name(status).decode()]
        parts += [f"{key} {record[key]}" for key in ("where", "found", "expected") if record.get(key) is not None]
        super().__init__("; ".join(parts))


def _call(name, *arguments):
    """Calls a function whose last parameter is the error."""
    error = ctypes.c_void_p()
    status = getattr(library(), name)(*arguments, ctypes.byref(error))
    if status != 0:
        text = library().hadpo_error_json(error) if error else None
        record = json.loads(text) if text else {}
        library().hadpo_error_free(error)
        raise Error(status, record)


def _result(name, *arguments):
    """Calls a function that answers with JSON."""
    answer = ctypes.c_void_p()
    _call(name, *arguments, ctypes.byref(answer))
    try:
        text = ctypes.string_at(library().hadpo_bytes_data(answer), library().hadpo_bytes_size(answer))
    finally:
        library().hadpo_bytes_free(answer)
    return json.loads(text)


def _config(schema, keys):
    text = json.dumps({"schema": schema, **keys}).encode()
    return text, len(text)


def version():
    return library().hadpo_version().decode()


def config_default(schema):
    return _result("hadpo_config_default", schema.encode())


def config_resolve(config):
    text = json.dumps(config).encode()
    return _result("hadpo_config_resolve", text, len(text))


def pope_score(questions, answers):
    """Both are the contents of JSON Lines files, as bytes."""
    return _result("hadpo_pope_score", questions, len(questions), answers, len(answers))


def pope_evaluate(**keys):
    """Answers files against question files: rules, intervals, outcomes, comparison. Keys of "hadpo.pope-score/1"."""
    return _result("hadpo_pope_evaluate", *_config("hadpo.pope-score/1", keys))


def pope_build(**keys):
    return _result("hadpo_pope_build", *_config("hadpo.pope-build/1", keys))


def chair_score(**keys):
    return _result("hadpo_chair_score", *_config("hadpo.chair-score/1", keys))


def shr_requests(**keys):
    return _result("hadpo_shr_requests", *_config("hadpo.shr-requests/1", keys))


def shr_score(**keys):
    return _result("hadpo_shr_score", *_config("hadpo.shr-score/1", keys))


def shr_agree(a, b):
    return _result("hadpo_shr_agree", *_config("hadpo.shr-agree/1", {"a": a, "b": b}))


def report_write(output, **keys):
    """One HTML page out of answers, scores and logs; the figures on it. Keys of "hadpo.report/1"."""
    return _result("hadpo_report_write", *_config("hadpo.report/1", {"output": str(output), **keys}))


class _Handle:
    """A counted object of the library; `with` frees it, and so does the garbage collector."""

    _free = None

    def __init__(self):
        self._handle = ctypes.c_void_p()

    def close(self):
        if self._handle:
            getattr(library(), self._free)(self._handle)
            self._handle = ctypes.c_void_p()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if getattr(self, "_handle", None):
            self.close()


class Engine(_Handle):
    """`on_event` receives each record as a dict; what it raises stops the call and is raised from there."""

    _free = "hadpo_engine_free"

    def __init__(self, on_event=None, **keys):
        super().__init__()
        self._raised = None

        def forward(record, size, _user):
            try:
                on_event(json.loads(ctypes.string_at(record, size)))
                return 0
            except BaseException as problem:  # Ctrl-C too: it must not be lost in foreign code
                self._raised = problem
                return 1

        self._callback = EventFunction(forward) if on_event else EventFunction()
        _call("hadpo_engine_open", *_config("hadpo.engine/1", keys), self._callback, None, ctypes.byref(self._handle))

    def interrupt(self):
        library().hadpo_engine_interrupt(self._handle)

    def run(self, function, *arguments):
        """Calls `function`; an exception of the event function comes out as itself."""
        self._raised = None
        try:
            return function(*arguments)
        except Error:
            if self._raised is not None:
                raise self._raised from None
            raise

    def world_make(self, **keys):
        return self.run(_result, "hadpo_world_make", self._handle, *_config("hadpo.world/1", keys))

    def world_train(self, **keys):
        return self.run(_result, "hadpo_world_train", self._handle, *_config("hadpo.world-base/1", keys))


class Image(_Handle):
    _free = "hadpo_image_free"

    @classmethod
    def open(cls, path):
        with open(path, "rb") as file:
            return cls.decode(file.read())

    @classmethod
    def decode(cls, data):
        image = cls()
        _call("hadpo_image_decode", data, len(data), ctypes.byref(image._handle))
        return image

    @classmethod
    def from_rgb8(cls, pixels, width, height):
        if len(pixels) < width * height * 3:
            raise ValueError(f"{len(pixels)} bytes for {width} x {height} pixels")
        image = cls()
        _call("hadpo_image_from_rgb8", pixels, width, height, width * 3, ctypes.byref(image._handle))
        return image


class Model(_Handle):
    _free = "hadpo_model_free"

    def __init__(self, engine, **keys):
        super().__init__()
        self.engine = engine
        engine.run(_call, "hadpo_model_open", engine._handle, *_config("hadpo.model/1", keys), ctypes.byref(self._handle))

    def describe(self):
        return self.engine.run(_result, "hadpo_model_describe", self._handle)

    def generate(self, image=None, **keys):
        handle = image._handle if image else None
        return self.engine.run(_result, "hadpo_model_generate", self._handle, *_config("hadpo.generate/1", keys), handle)

    def score(self, image=None, **keys):
        """Log-probability of each token of the completion, the end token included."""
        handle, config, count = image._handle if image else None, _config("hadpo.score/1", keys), ctypes.c_size_t()
        self.engine.run(_call, "hadpo_model_score", self._handle, *config, handle, None, 0, ctypes.byref(count))
        values = (ctypes.c_float * count.value)()
        self.engine.run(_call, "hadpo_model_score", self._handle, *config, handle, values, count, ctypes.byref(count))
        return list(values)

    def inspect(self, path, image=None, **keys):
        handle = image._handle if image else None
        config = _config("hadpo.inspect/1", keys)
        self.engine.run(_call, "hadpo_model_inspect", self._handle, *config, handle, os.fsencode(path))

    def load_adapter(self, directory):
        self.engine.run(_call, "hadpo_adapter_load", self._handle, os.fsencode(directory))

    def unload_adapter(self):
        self.engine.run(_call, "hadpo_adapter_unload", self._handle)

    def export(self, **keys):
        self.engine.run(_call, "hadpo_export", self._handle, *_config("hadpo.export/1", keys))

    def check(self, **keys):
        return self.engine.run(_result, "hadpo_data_check", self._handle, *_config("hadpo.train/1", keys))

    def pope(self, **keys):
        return self.engine.run(_result, "hadpo_pope_run", self._handle, *_config("hadpo.pope/1", keys))

    def shr_describe(self, **keys):
        return self.engine.run(_result, "hadpo_shr_describe", self._handle, *_config("hadpo.shr-describe/1", keys))

    def world_pairs(self, **keys):
        return self.engine.run(_result, "hadpo_world_pairs", self._handle, *_config("hadpo.world-pairs/1", keys))


class Trainer(_Handle):
    _free = "hadpo_trainer_free"

    def __init__(self, model, **keys):
        super().__init__()
        self.model, self.engine = model, model.engine
        config = _config("hadpo.train/1", keys)
        self.engine.run(_call, "hadpo_trainer_open", model._handle, *config, ctypes.byref(self._handle))

    def run(self, steps=0):
        return self.engine.run(_result, "hadpo_trainer_run", self._handle, steps)

    def save(self, directory):
        self.engine.run(_call, "hadpo_trainer_save", self._handle, os.fsencode(directory))

    def resume(self, directory):
        self.engine.run(_call, "hadpo_trainer_resume", self._handle, os.fsencode(directory))

    def inspect(self, path):
        self.engine.run(_call, "hadpo_trainer_inspect", self._handle, os.fsencode(path))
