"""Small images of every kind, and what Pillow and HF's processors make of them.

    pip install Pillow numpy && python3 Tests/Fixtures/make_images.py

Writes images/: the files; images/NAME.rgb: the bytes of Image.open(NAME).convert("RGB"); images/expected.json: sizes,
checksums of resized images and of pixel values. Expected values are CRC-32 where the arrays are large (Float32 little-endian,
CHW). Nothing here needs torch: HF's PIL processors are restated in numpy (rescale in float64, normalise in float32).

Resizing is asked of Pillow one axis at a time. Up to Pillow 12 one call goes across and then down; Pillow 13 turns this round
where (H - OH) > 2 (W - OW), found by trying 2931 sizes on Pillow 13.0. Both are expected here, so any Pillow makes this.
"""
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

HERE = Path(__file__).parent / "images"
W, H = 23, 17
MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]


def smooth(width, height, channels, peak=255, seed=0):
    """Gradients with a little noise: compresses well, and no two rows or columns are alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        (0.5 + 0.5 * np.sin(x * (0.2 + 0.07 * c) + y * (0.13 + 0.05 * c) + c)) * peak + rng.integers(-4, 5, (height, width)) * peak / 255
        for c in range(channels)
    ]
    return np.clip(np.stack(planes, -1).round(), 0, peak).astype(np.int64)


# -- PNG by hand: Pillow cannot write every kind ------------------------------------------------------------------------


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_row(samples, depth):
    """samples: (width, channels) -> bytes, most significant first."""
    flat = samples.reshape(-1)
    if depth == 16:
        return flat.astype(">u2").tobytes()
    if depth == 8:
        return flat.astype(np.uint8).tobytes()
    bits = ((flat[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8).reshape(-1)
    return np.packbits(bits).tobytes()


def png(samples, depth, color, interlaced=False, before_idat=(), filters=True):
    height, width, channels = samples.shape
    stride = max(1, depth * channels // 8)
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    for x0, y0, dx, dy in passes:
        part = samples[y0::dy, x0::dx]
        if part.size == 0:
            continue
        previous = bytes(len(pack_row(part[0], depth)))
        for index, row in enumerate(part):
            line = pack_row(row, depth)
            kind = index % 5 if filters else 0  # all five filters
            raw += bytes([kind]) + filtered(line, previous, stride, kind)
            previous = line
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    body = b"".join(chunk(k, d) for k, d in before_idat)
    data = zlib.compress(raw, 9)
    half = len(data) // 2  # two IDAT chunks
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IDAT", data[:half]) + chunk(b"IDAT", data[half:]) + chunk(b"IEND", b"")


def filtered(line, previous, stride, kind):
    out = bytearray()
    for i, value in enumerate(line):
        a = line[i - stride] if i >= stride else 0
        b = previous[i]
        c = previous[i - stride] if i >= stride else 0
        p = a + b - c
        paeth = a if abs(p - a) <= abs(p - b) and abs(p - a) <= abs(p - c) else b if abs(p - b) <= abs(p - c) else c
        out.append((value - [0, a, b, (a + b) // 2, paeth][kind]) & 255)
    return bytes(out)


def jpeg(array, mode, **options):
    out = io.BytesIO()
    Image.fromarray(array.astype(np.uint8).squeeze(), mode).save(out, "JPEG", **options)
    return out.getvalue()


def without_marker(data, marker):
    """The file without its segments of one kind."""
    out, i = data[:2], 2
    while data[i + 1] != 0xDA:
        size = struct.unpack(">H", data[i + 2 : i + 4])[0] + 2
        if data[i + 1] != marker:
            out += data[i : i + size]
        i += size
    return out + data[i:]


def exif_rotated():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def files():
    palette = smooth(16, 1, 3, seed=5).astype(np.uint8).tobytes()
    for depth in (1, 2, 4, 8, 16):
        peak = 2**depth - 1
        grey = smooth(W, H, 1, peak, seed=depth)
        if depth == 16:
            grey[:6] //= 300  # samples below 256 survive, the rest saturates
        yield f"grey{depth}.png", png(grey, depth, 0)
        yield f"grey{depth}_interlaced.png", png(grey, depth, 0, interlaced=True)
        if depth <= 8:
            entries = min(2**depth, 16)
            index = smooth(W, H, 1, entries - 1, seed=depth)
            yield f"palette{depth}.png", png(index, depth, 3, before_idat=[(b"PLTE", palette[: 3 * entries])])
    index = smooth(W, H, 1, 15, seed=4)
    yield "palette_alpha.png", png(index, 8, 3, before_idat=[(b"PLTE", palette), (b"tRNS", bytes([0, 128, 255, 7]))])
    yield "palette_interlaced.png", png(index, 4, 3, interlaced=True, before_idat=[(b"PLTE", palette), (b"tRNS", b"\0")])
    yield "palette_short.png", png(index, 8, 3, before_idat=[(b"PLTE", palette[:15])])  # indices beyond it are black
    yield "grey8_key.png", png(smooth(W, H, 1), 8, 0, before_idat=[(b"tRNS", b"\0\x80")])
    for depth in (8, 16):
        peak = 2**depth - 1
        yield f"greyalpha{depth}.png", png(smooth(W, H, 2, peak), depth, 4)
        yield f"rgb{depth}.png", png(smooth(W, H, 3, peak), depth, 2)
        yield f"rgba{depth}.png", png(smooth(W, H, 4, peak), depth, 6)
        yield f"rgba{depth}_interlaced.png", png(smooth(W, H, 4, peak), depth, 6, interlaced=True)
    yield "rgb8_key.png", png(smooth(W, H, 3), 8, 2, before_idat=[(b"tRNS", b"\0\1\0\2\0\3"), (b"gAMA", struct.pack(">I", 45455)), (b"tEXt", b"Comment\0hello")])
    yield "tiny.png", png(smooth(1, 1, 3), 8, 2)
    yield "tiny_interlaced.png", png(smooth(3, 2, 3), 8, 2, interlaced=True)

    rgb, grey, cmyk = smooth(W, H, 3), smooth(W, H, 1), smooth(W, H, 4)
    yield "grey.jpg", jpeg(grey, "L", quality=90)
    yield "ycc444.jpg", jpeg(rgb, "RGB", quality=92, subsampling=0)
    yield "ycc422.jpg", jpeg(rgb, "RGB", quality=80, subsampling=1)
    yield "ycc420.jpg", jpeg(rgb, "RGB", quality=80, subsampling=2)
    yield "progressive.jpg", jpeg(rgb, "RGB", quality=80, progressive=True)
    yield "restart.jpg", jpeg(rgb, "RGB", quality=80, restart_marker_blocks=1)
    yield "rgb.jpg", jpeg(rgb, "RGB", quality=90, keep_rgb=True)
    yield "cmyk.jpg", jpeg(cmyk, "CMYK", quality=90)
    yield "cmyk_no_adobe.jpg", without_marker(jpeg(cmyk, "CMYK", quality=90), 0xEE)
    yield "ycck.jpg", as_ycck(jpeg(cmyk, "CMYK", quality=90))
    yield "exif_rotated.jpg", jpeg(rgb, "RGB", quality=80, exif=exif_rotated())


def as_ycck(data):
    """The same coefficients, declared YCCK in the Adobe marker: different colours, a valid file."""
    at = data.index(b"Adobe")
    return data[: at + 11] + b"\x02" + data[at + 12 :]


def resized(image, size, resample, order=12):
    width, height = size
    if order == 13 and image.height > height and image.height - height > 2 * (image.width - width):
        return image.resize((image.width, height), resample).resize((width, height), resample)
    return image.resize((width, image.height), resample).resize((width, height), resample)


def pad_to_square(image):
    side = max(image.size)
    square = Image.new("RGB", (side, side), tuple(int(m * 255) for m in MEAN))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def shortest_edge(image, edge):
    width, height = image.size
    short, long = min(width, height), max(width, height)
    other = int(edge * long / short)
    return resized(image, (edge, other) if width <= height else (other, edge), Image.BICUBIC)


def centre_crop(array, height, width):
    """Of an HWC array; black where the image is too small (transformers.image_transforms.center_crop)."""
    h, w, _ = array.shape
    top, left = (h - height) // 2, (w - width) // 2
    out = np.zeros((height, width, 3), np.uint8)
    y0, x0 = max(0, -top), max(0, -left)
    part = array[max(0, top) : max(0, top) + height, max(0, left) : max(0, left) + width]
    out[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]] = part
    return out


def pixel_values(array):
    scaled = (array.astype(np.float64) * (1 / 255)).astype(np.float32)
    normal = (scaled - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1))


def crc(array):
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def main():
    HERE.mkdir(exist_ok=True)
    for old in HERE.iterdir():
        old.unlink()
    expected = {"decode": [], "resize": [], "pipeline": [], "augment": []}
    for name, data in files():
        (HERE / name).write_bytes(data)
        rgb = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
        (HERE / (name + ".rgb")).write_bytes(rgb.tobytes())
        expected["decode"].append({"name": name, "width": rgb.shape[1], "height": rgb.shape[0]})

    # Sources are written as the test makes them: byte i of the pixels is (i * i * 31 + i * 7) >> 3, a pattern without period.
    for width, height, to_width, to_height in [(64, 48, 44, 33), (37, 53, 20, 81), (1, 1, 5, 7), (50, 3, 7, 33), (30, 30, 30, 9), (30, 30, 9, 30), (48, 300, 33, 31)]:
        image = pattern(width, height)
        for resample in range(6):
            case = {"from": [width, height], "to": [to_width, to_height], "resample": resample}
            for order in (12, 13):
                case[f"crc{order}"] = crc(np.array(resized(image, (to_width, to_height), resample, order)))
            if resample != Image.NEAREST and PIL.__version__ >= "13":
                assert case["crc13"] == crc(np.array(image.resize((to_width, to_height), resample)))
            expected["resize"].append(case)

    for width, height in [(64, 48), (48, 64), (50, 50), (31, 97), (5, 3), (640, 481), (336, 336)]:
        image = pattern(width, height)
        cases = {
            "clip28": centre_crop(np.array(shortest_edge(image, 28)), 28, 28),
            "clip28_pad": centre_crop(np.array(shortest_edge(pad_to_square(image), 28)), 28, 28),
            "clip336": centre_crop(np.array(shortest_edge(image, 336)), 336, 336),
            "clip336_pad": centre_crop(np.array(shortest_edge(pad_to_square(image), 336)), 336, 336),
            "blip224": np.array(resized(image, (224, 224), Image.BICUBIC)),
            "crop_only41x60": centre_crop(np.array(image), 41, 60),
        }
        for name, array in cases.items():
            values = pixel_values(array)
            expected["pipeline"].append({"from": [width, height], "pipeline": name, "crc": crc(values), "first": float(values[0, 0, 0])})
    # Train transforms: torchvision's resized_crop is Pillow's crop and then its resize; RandomHorizontalFlip mirrors what comes out.
    # [from, box (left, top, width, height)]
    for (width, height), (left, top, w, h) in [((64, 48), (0, 0, 64, 48)), ((64, 48), (5, 3, 40, 37)), ((64, 48), (24, 0, 40, 48)), ((37, 300), (0, 141, 37, 28)),
                                               ((300, 37), (17, 9, 28, 21)), ((640, 481), (33, 70, 500, 400)), ((640, 481), (639, 480, 1, 1)), ((500, 500), (100, 120, 224, 224))]:
        image = pattern(width, height).crop((left, top, left + w, top + h))
        for flipped in (False, True):
            out = np.array(resized(image, (224, 224), Image.BICUBIC))
            values = pixel_values(out[:, ::-1] if flipped else out)
            assert (np.array(image.resize((224, 224), Image.BICUBIC)) == out).all() or PIL.__version__ >= "13"
            expected["augment"].append({"from": [width, height], "box": [left, top, w, h], "flipped": flipped, "crc": crc(values)})

    # one small case in full, so that a failure can be looked at
    (HERE / "clip28_pad_64x48.f32").write_bytes(pixel_values(centre_crop(np.array(shortest_edge(pad_to_square(pattern(64, 48)), 28)), 28, 28)).tobytes())
    (HERE / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")


def pattern(width, height):
    i = np.arange(width * height * 3, dtype=np.uint64)
    return Image.fromarray(((i * i * 31 + i * 7) >> 3).astype(np.uint8).reshape(height, width, 3))


if __name__ == "__main__":
    main()
