"""Pictures: files, their contents, pixels of NumPy, pictures of PIL."""

from __future__ import annotations

import ctypes
import os
from typing import Any, BinaryIO, Protocol, Union, runtime_checkable

from . import _c
from ._handle import Handle


@runtime_checkable
class PILImage(Protocol):
    """What is needed of PIL.Image.Image."""

    @property
    def size(self) -> tuple[int, int]: ...
    def convert(self, mode: str) -> Any: ...
    def tobytes(self) -> bytes: ...


# An array's type cannot be named without NumPy: anything with the buffer protocol, height x width x 3 of uint8.
ImageLike = Union["Image", str, "os.PathLike[str]", bytes, bytearray, memoryview, BinaryIO, PILImage, Any]


class Image(Handle):
    """RGB pixels in the library's memory. A model's methods take anything that `Image` takes; an Image of one's own is for
    a picture that is used more than once.

    picture  a path; the contents of a PNG or JPEG file as bytes; a file open for reading bytes; a NumPy array, height x
             width x 3 of uint8, rows top first; a PIL image (converted to RGB)
    """

    _free = "hadpo_image_free"

    def __init__(self, picture: ImageLike):
        given: Any = picture
        if isinstance(picture, (str, os.PathLike)):
            with open(picture, "rb") as file:
                self._decode(file.read())
        elif hasattr(given, "read") and not isinstance(given, PILImage):
            content = given.read()
            if not isinstance(content, bytes):
                raise TypeError(f"the file gives {type(content).__name__}, not bytes: open it with mode 'rb'")
            self._decode(content)
        elif isinstance(picture, PILImage):
            pixels = picture.convert("RGB")
            self._pixels(pixels.tobytes(), *pixels.size)
        else:
            self._buffer(given)

    def _buffer(self, picture: Any) -> None:
        try:
            view = memoryview(picture)
        except TypeError:
            kind = type(picture).__name__
            raise TypeError(f"a picture is a path, bytes, a file, an array or a PIL image, not {kind}") from None
        if view.ndim == 1 and view.itemsize == 1:
            self._decode(view.tobytes())
            return
        shape = view.shape or ()
        if view.format != "B" or len(shape) != 3 or shape[2] != 3:
            sides = " x ".join(map(str, shape))
            raise ValueError(f"an array of pixels is height x width x 3 of uint8, not {sides} of format '{view.format}'")
        self._pixels(view.tobytes(), shape[1], shape[0])

    def _decode(self, content: bytes) -> None:
        self._open(lambda handle: _c.call("hadpo_image_decode", content, len(content), ctypes.byref(handle)))

    def _pixels(self, pixels: bytes, width: int, height: int) -> None:
        self._open(lambda handle: _c.call("hadpo_image_from_rgb8", pixels, width, height, width * 3, ctypes.byref(handle)))

    @classmethod
    def open(cls, path: Union[str, "os.PathLike[str]"]) -> "Image":
        """A PNG or JPEG file."""
        return cls(path)

    @classmethod
    def decode(cls, data: bytes) -> "Image":
        """The contents of a PNG or JPEG file."""
        return cls(data)

    @classmethod
    def from_rgb8(cls, pixels: Union[bytes, bytearray], width: int, height: int) -> "Image":
        """Rows without gaps, top row first, R G B of 8 bits each."""
        if width < 0 or height < 0 or len(pixels) < width * height * 3:
            raise ValueError(f"{len(pixels)} bytes for {width} x {height} pixels")
        image = cls.__new__(cls)
        image._pixels(bytes(pixels), width, height)
        return image


class Borrowed:
    """The picture of one call: an Image stays its owner's, anything else is opened and freed here. None is no picture."""

    def __init__(self, picture: Any):
        self._own = None if picture is None or isinstance(picture, Image) else Image(picture)
        self._picture = self._own or picture

    def __enter__(self) -> Any:
        return None if self._picture is None else self._picture._handle

    def __exit__(self, *_: object) -> None:
        if self._own is not None:
            self._own.close()
