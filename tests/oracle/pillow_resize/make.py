#!/usr/bin/env python3
"""Writes golden.json: what Pillow makes of pictures, for plugins/image_text. Usage: python make.py (Pillow 13.0.0).

"resized": noise and a gradient from the formula below, resized by Image.resize(BICUBIC): all pixels of small results,
the sha256 of large ones. "files": small picture files of each kind (hexadecimal), with their pixels as 8-bit RGB on
white. "refused": files that must be refused, with a word of the reason.
"""

import hashlib
import io
import json
import struct
import zlib
from pathlib import Path

import PIL
from PIL import Image

NOISE = [  # seed, width, height, new width, new height
    (1, 5, 7, 8, 8),
    (2, 7, 5, 8, 8),
    (3, 16, 16, 8, 8),
    (4, 31, 9, 8, 8),
    (5, 9, 31, 8, 8),
    (6, 8, 8, 8, 8),
    (7, 1, 1, 4, 4),
    (8, 8, 20, 8, 5),
    (9, 20, 8, 5, 8),
    (10, 13, 11, 12, 3),
    (11, 11, 13, 3, 12),
    (12, 64, 64, 112, 112),
    (13, 72, 72, 56, 56),
    (14, 640, 480, 224, 224),
    (15, 480, 640, 224, 224),
    (16, 300, 201, 224, 112),
    # Rows lost against twice the columns lost, which decides what pass comes first: 26 > 22, 42 = 42, 41 < 42.
    (17, 39, 54, 28, 28),
    (18, 56, 112, 35, 70),
    (19, 56, 111, 35, 70),
]


def noise(seed, width, height):
    """Bytes of a linear congruential generator: x <- 1664525 x + 1013904223 mod 2^32, the top byte of each x."""
    x, out = seed, bytearray()
    for _ in range(width * height * 3):
        x = (1664525 * x + 1013904223) % 2**32
        out.append(x >> 24)
    return bytes(out)


def resized(name, data, size, new_size):
    pixels = Image.frombytes("RGB", size, data).resize(new_size, Image.Resampling.BICUBIC).tobytes()
    case = {"picture": name, "size": size, "new_size": new_size}
    if len(pixels) <= 300:
        return case | {"pixels": list(pixels)}
    return case | {"sha256": hashlib.sha256(pixels).hexdigest()}


def on_white(image):
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(color_type, channels, values):
    """A 16-bit PNG of one row, which Pillow itself does not write."""
    row = b"\0" + struct.pack(f">{len(values)}H", *values)
    header = struct.pack(">IIBBBBB", len(values) // channels, 1, 16, color_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")


def file_case(name, suffix, data, pixels=None):
    image = Image.open(io.BytesIO(data))
    pixels = list(on_white(image).tobytes()) if pixels is None else pixels
    return {"name": name, "suffix": suffix, "size": image.size, "hex": data.hex(), "pixels": pixels}


def files():
    # Every alpha from 0 to 255 over a colour that runs the other way.
    rgba = Image.frombytes("RGBA", (16, 16), b"".join(bytes((i, 255 - i, i * 7 % 256, i)) for i in range(256)))
    grey = Image.frombytes("L", (4, 2), bytes((0, 1, 50, 100, 150, 200, 254, 255)))
    grey_alpha = Image.merge("LA", (grey, Image.frombytes("L", (4, 2), bytes((255, 128, 0, 64, 1, 254, 200, 100)))))
    black_white = grey.convert("1", dither=Image.Dither.NONE)
    rgb = Image.frombytes("RGB", (3, 2), bytes(range(0, 252, 14)))
    palette = rgb.quantize(4)
    clear = palette.copy()
    values = [0, 255, 256, 32767, 32768, 65279, 65280, 65535, 12345, 54321, 128, 129]
    # Of 16 bits the upper 8 are taken; Pillow does so for colour, and for grey clips instead, which is of no use.
    grey16 = [v >> 8 for v in values for _ in range(3)]
    smooth = Image.linear_gradient("L").resize((24, 16)).convert("RGB")
    return [
        file_case("rgba", "png", saved(rgba, "PNG")),
        file_case("grey", "png", saved(grey, "PNG")),
        file_case("grey and alpha", "png", saved(grey_alpha, "PNG")),
        file_case("one bit", "png", saved(black_white, "PNG")),
        file_case("rgb", "png", saved(rgb, "PNG")),
        file_case("palette", "png", saved(palette, "PNG")),
        file_case("palette, one entry clear", "png", saved(clear, "PNG", transparency=0)),
        file_case("rgb, one colour clear", "png", saved(rgb, "PNG", transparency=(42, 56, 70))),
        file_case("grey, one level clear", "png", saved(grey, "PNG", transparency=100)),
        file_case("one bit, black clear", "png", saved(black_white, "PNG", transparency=0)),
        file_case("rgb, 16 bits", "png", png16(2, 3, values)),
        file_case("rgba, 16 bits", "png", png16(6, 4, values)),
        file_case("grey, 16 bits", "png", png16(0, 1, values), grey16),
        file_case("bmp", "bmp", saved(rgb, "BMP")),
        file_case("webp without loss", "webp", saved(rgba.convert("RGB"), "WEBP", lossless=True)),
        file_case("tiff", "tiff", saved(rgb, "TIFF")),
        file_case("jpeg", "jpg", saved(smooth, "JPEG", quality=90)),
        file_case("grey jpeg", "jpg", saved(grey, "JPEG", quality=95)),
        file_case("turned jpeg, which stays as it is stored", "jpg", turned(smooth)),
    ]


def turned(image):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be shown turned by 90 degrees
    return saved(image, "JPEG", quality=90, exif=exif)


def refused():
    rgb = Image.frombytes("RGB", (16, 16), noise(20, 16, 16))
    png, jpeg = saved(rgb, "PNG"), saved(rgb, "JPEG")
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0xFF
    cases = [
        ("cmyk", "jpg", saved(Image.new("CMYK", (8, 8), (10, 20, 30, 40)), "JPEG"), "CMYK"),
        ("cut png", "png", png[: len(png) // 2], "decoded"),
        ("cut jpeg", "jpg", jpeg[: len(jpeg) // 2], "ends before"),
        ("changed png", "png", bytes(flipped), "decoded"),
        ("header only", "png", png[:8], "decoded"),
        ("empty", "png", b"", "empty"),
        ("text", "png", b"no picture at all", "PNG, JPEG"),
        ("gif", "gif", saved(rgb.quantize(4), "GIF"), "PNG, JPEG"),
    ]
    return [{"name": n, "suffix": s, "hex": data.hex(), "reason": reason} for n, s, data, reason in cases]


def main():
    gradient = bytes((x * 5 + y * 3 + c * 40) % 256 for y in range(40) for x in range(50) for c in range(3))
    golden = {
        "made_with": f"Pillow {PIL.__version__}",
        "resized": [resized(str(seed), noise(seed, w, h), (w, h), (nw, nh)) for seed, w, h, nw, nh in NOISE]
        + [resized("gradient", gradient, (50, 40), (56, 56))],
        "files": files(),
        "refused": refused(),
    }
    lines = [f'{{\n"made_with": {json.dumps(golden["made_with"])}']
    for name in ("resized", "files", "refused"):
        rows = ",\n".join(json.dumps(case, separators=(",", ":")) for case in golden[name])
        lines.append(f'"{name}": [\n{rows}\n]')
    Path(__file__).with_name("golden.json").write_text(",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
