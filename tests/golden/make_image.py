"""Golden pixels from Pillow for tests/common/image: writes tests/golden/image/.

  *.jpg *.png *.webp *.gif *.bmp *.ppm   small files, drawn from a fixed seed
  decode.tsv    file, channels, width, height, SHA-256 of the raw pixels; or file, 0, reason
  eval.tsv      file, size, crop_pct, filter, channels, SHA-256: timm's evaluation transform
  resize.tsv    file, channels, box x 4, width, height, filter, SHA-256
  pil_aug.tsv   image, operation, argument, SHA-256: timm's auto_augment.py calls on Pillow

Made with Pillow 13.0.0 (libjpeg-turbo 3.2.0), numpy 2.4.6, simplejpeg 1.9.0 (for 4:4:0):
  python3 tests/golden/make_image.py
The reasons of refused files are ours; that Pillow refuses them too is asserted here.
"""
import hashlib
import io
import math
import pathlib
import struct
import zlib

import numpy as np
import PIL
import simplejpeg
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

HERE = pathlib.Path(__file__).parent / "image"
PHOTOS = HERE.parent.parent / "data" / "photos"
FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}


def picture(seed, w, h):
    """Smooth colours, hard edges and some grain: what codecs treat differently."""
    g = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w].astype(float)
    a = np.stack([127 + 120 * np.sin(x / 7 + y / 19), 127 + 110 * np.cos(y / 5), x * 255 / w], -1)
    a[h // 3 : h // 2, w // 4 : w // 2] = (250, 20, 30)
    a += g.normal(0, 8, a.shape)
    return Image.fromarray(np.clip(a, 0, 255).astype(np.uint8))


def jpeg(img, **kw):
    buf = io.BytesIO()
    img.save(buf, "JPEG", **{"quality": 80, **kw})
    return buf.getvalue()


def saved(img, kind, **kw):
    buf = io.BytesIO()
    img.save(buf, kind, **kw)
    return buf.getvalue()


def png(samples, depth, colour, palette=None, trns=None, interlace=False):
    """A PNG writer for what Pillow cannot write. samples: (h, w, channels) of ints."""
    h, w, c = samples.shape

    def rows(a):
        out = b""
        for row in a:
            flat = row.reshape(-1)
            if depth == 16:
                data = flat.astype(">u2").tobytes()
            else:
                bits = "".join(format(int(v), f"0{depth}b") for v in flat)
                bits += "0" * (-len(bits) % 8)
                data = int(bits, 2).to_bytes(len(bits) // 8, "big")
            out += b"\0" + data
        return out

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(
            ">I", zlib.crc32(name + data))

    if interlace:
        raw = b""
        for y0, x0, dy, dx in ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2),
                               (0, 1, 2, 2), (1, 0, 2, 1)):
            part = samples[y0::dy, x0::dx]
            raw += rows(part) if part.size else b""
    else:
        raw = rows(samples)
    out = b"\x89PNG\r\n\x1a\n"
    out += chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, int(interlace)))
    if palette is not None:
        out += chunk(b"PLTE", bytes(palette))
    if trns is not None:
        out += chunk(b"tRNS", bytes(trns))
    return out + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")


def jpeg_files():
    img = picture(1, 61, 47)
    f = {
        "gray.jpg": jpeg(img.convert("L")),
        "444.jpg": jpeg(img, subsampling="4:4:4"),
        "422.jpg": jpeg(img, subsampling="4:2:2"),
        "420.jpg": jpeg(img, subsampling="4:2:0"),
        "440.jpg": simplejpeg.encode_jpeg(np.asarray(img), 80, colorsubsampling="440"),
        "progressive.jpg": jpeg(img, subsampling="4:2:0", progressive=True),
        "restart.jpg": jpeg(img, subsampling="4:2:0", restart_marker_blocks=3),
        "rgb.jpg": jpeg(img, keep_rgb=True, subsampling="4:4:4"),
        "cmyk.jpg": jpeg(img.convert("CMYK")),
        "one-pixel.jpg": jpeg(picture(2, 1, 1)),
        "odd-17x33.jpg": jpeg(picture(3, 17, 33), subsampling="4:2:0"),
        "tall.jpg": jpeg(picture(4, 24, 97), subsampling="4:2:2"),
        "exif-turned.jpg": jpeg(picture(5, 20, 30), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12"
                                b"\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"),
    }
    adobe = f["cmyk.jpg"].index(b"Adobe")
    ycck = bytearray(f["cmyk.jpg"])
    ycck[adobe + 11] = 2
    f["ycck.jpg"] = bytes(ycck)
    return f


def refused_files(good):
    """name -> (bytes, our reason)"""
    base, prog = good["420.jpg"], good["progressive.jpg"]
    sof = base.index(b"\xff\xc0")
    deep = bytearray(base)
    deep[sof + 4] = 12
    five = bytearray(base)
    five[sof + 9] = 2
    bomb = bytearray(base)
    bomb[sof + 5 : sof + 9] = b"\xff\x00\xff\x00"
    twice = base[: sof] + base[sof : sof + 19] + base[sof:]
    table = base.index(b"\xff\xdb")
    cut_table = base[:table] + b"\xff\xdb\x00\x30" + b"\x00" * 46 + base[table:]
    return {
        "cut.jpg": (base[: len(base) * 2 // 3], "truncated"),
        "cut-progressive.jpg": (prog[: len(prog) * 3 // 4], "truncated"),
        "no-eoi-progressive.jpg": (prog[:-2], "truncated"),
        "no-eoi.jpg": (base[:-2], "truncated"),
        "cut-header.jpg": (base[:40], "truncated"),
        "no-scan.jpg": (base[: base.index(b"\xff\xda")], "truncated"),
        "deep.jpg": (bytes(deep), "unsupported-kind"),
        "two-components.jpg": (bytes(five), "unsupported-kind"),
        "bomb.jpg": (bytes(bomb), "too-large"),
        "two-frames.jpg": (twice, "broken"),
        "cut-table.jpg": (cut_table, "broken"),
        "cut.png": (good["rgb.png"][:-60], "truncated"),
        "flipped.png": (good["rgb.png"][:60] + b"\xa5" * 8 + good["rgb.png"][68:], "broken"),
        "cut.webp": (good["lossy.webp"][:-100], "truncated"),
        "cut.gif": (good["plain.gif"][:-200], "truncated"),
        "cut.bmp": (good["rgb.bmp"][:-20], "truncated"),
        "cut.ppm": (good["rgb.ppm"][:-1], "truncated"),
    }


def other_files():
    img = picture(6, 23, 19)
    a = np.asarray(img)
    g = np.random.default_rng(8)
    alpha = Image.fromarray(g.integers(0, 256, (19, 23), dtype=np.uint8))
    rgba = img.copy()
    rgba.putalpha(alpha)
    deep = g.integers(0, 65536, (9, 11, 3))
    pal = g.integers(0, 256, 16 * 3)
    idx = g.integers(0, 16, (9, 11, 1))
    b565 = struct.pack("<HIHHIIiiHHIIiiIIIII", 0x4D42, 66 + 9 * 24, 0, 0, 66, 40, 11, 9, 1, 16, 3,
                       9 * 24, 0, 0, 0, 0, 0xF800, 0x7E0, 0x1F) + g.bytes(9 * 24)
    turned = Image.fromarray(a[::-1].copy())
    bmp = bytearray(saved(turned, "BMP"))
    bmp[22:26] = struct.pack("<i", -19)
    frames = [picture(s, 23, 19) for s in (6, 7)]
    return {
        "rgb.png": saved(img, "PNG"),
        "rgba.png": saved(rgba, "PNG"),
        "la.png": saved(rgba.convert("LA"), "PNG"),
        "palette.png": saved(img.quantize(32), "PNG"),
        "palette4-alpha.png": png(idx, 4, 3, pal, [0, 128, 255]),
        "gray1.png": saved(img.convert("1"), "PNG"),
        "gray2.png": png(idx % 4, 2, 0),
        "gray4.png": png(idx, 4, 0),
        "gray8-key.png": png(idx * 17, 8, 0, trns=[0, 17]),
        "gray16.png": png(deep[..., :1], 16, 0),
        "rgb16.png": png(deep, 16, 2),
        "la16.png": png(deep[..., :2], 16, 4),
        "interlaced.png": png(a.astype(int), 8, 2, interlace=True),
        "interlaced1.png": png(idx % 2, 1, 0, interlace=True),
        "lossy.webp": saved(img, "WEBP", quality=80),
        "lossless.webp": saved(img, "WEBP", lossless=True),
        "alpha.webp": saved(rgba, "WEBP", lossless=True, exact=True),
        "moving.webp": saved(frames[0], "WEBP", save_all=True, append_images=frames[1:],
                             lossless=True),
        "plain.gif": saved(img.quantize(64), "GIF", interlace=0),
        "interlaced.gif": saved(img.quantize(64), "GIF", interlace=1),
        "gray.gif": saved(img.convert("L"), "GIF"),
        "moving.gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "rgb.bmp": saved(img, "BMP"),
        "top-down.bmp": bytes(bmp),
        "palette.bmp": saved(img.quantize(200), "BMP"),
        "one-bit.bmp": saved(img.convert("1"), "BMP"),
        "rgba.bmp": saved(rgba, "BMP"),
        "565.bmp": b565,
        "rgb.ppm": saved(img, "PPM"),
        "gray.pgm": saved(img.convert("L"), "PPM"),
        "gray-100.pgm": b"P5 # a comment\n11 9\n100\n" + bytes(g.integers(0, 101, 99).tolist()),
    }


def sha(img):
    return hashlib.sha256(img.tobytes()).hexdigest()


def channels(img, c):
    return img.convert("RGB") if c == 3 else img.convert("RGB").convert("L")


def opened(data):
    img = Image.open(io.BytesIO(data))
    img.load()
    return img


def decode_rows(good, bad):
    for name, data in good.items():
        img = opened(data)
        if img.mode == "I;16":  # Pillow's convert clips 16-bit gray to white; we take the high byte
            img = Image.fromarray((np.asarray(img) >> 8).astype(np.uint8))
        for c in (3, 1):
            yield name, c, img.width, img.height, sha(channels(img, c))
    for name, (data, reason) in bad.items():
        try:
            opened(data)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            yield name, 0, reason
        else:
            raise AssertionError(f"Pillow reads {name}")


def evaluation(img, size, crop_pct, kind):
    """timm: Resize(floor(size / crop_pct)), CenterCrop(size), as torchvision computes them."""
    short = math.floor(size / crop_pct)
    w, h = img.size
    w, h = (short, int(short * h / w)) if w <= h else (int(short * w / h), short)
    if (w, h) != img.size:
        img = img.resize((w, h), FILTERS[kind])
    if w < size or h < size:
        left, top = max(0, (size - w) // 2), max(0, (size - h) // 2)
        right, bottom = max(0, (size - w + 1) // 2), max(0, (size - h + 1) // 2)
        padded = Image.new(img.mode, (w + left + right, h + top + bottom))
        padded.paste(img, (left, top))
        img, (w, h) = padded, padded.size
    x, y = int(round((w - size) / 2.0)), int(round((h - size) / 2.0))
    return img.crop((x, y, x + size, y + size))


def eval_rows(good):
    for name in ("420.jpg", "440.jpg", "gray.jpg", "cmyk.jpg", "progressive.jpg", "odd-17x33.jpg",
                 "tall.jpg", "one-pixel.jpg", "exif-turned.jpg", "rgb.png", "lossy.webp"):
        img = opened(good[name])
        for size, crop_pct in ((32, 0.91), (16, 0.94), (24, 0.5), (20, 1.0), (64, 0.875), (20, 0.97),
                               (28, 1.25)):
            for kind in FILTERS:
                for c in (3, 1):
                    out = evaluation(channels(img, c), size, crop_pct, kind)
                    yield name, size, crop_pct, kind, c, sha(out)


def resize_rows(good):
    g = np.random.default_rng(9)
    for name in ("444.jpg", "tall.jpg", "odd-17x33.jpg"):
        img = opened(good[name])
        for i in range(8):
            box = (0, 0, *img.size)
            if i >= 3:
                x, y = np.sort(g.uniform(0, img.width, 2)), np.sort(g.uniform(0, img.height, 2))
                box = (x[0], y[0], min(x[1] + 1, img.width), min(y[1] + 1, img.height))
            w, h = (int(v) for v in g.integers(1, 80, 2))
            for kind in FILTERS:
                for c in (3, 1):
                    out = channels(img, c).resize((w, h), FILTERS[kind], box=box)
                    yield (name, c, *(repr(float(v)) for v in box), w, h, kind, sha(out))


def affine(img, matrix):
    fill = (124, 116, 104) if img.mode == "RGB" else 128
    return img.transform(img.size, Image.AFFINE, matrix, resample=Image.BILINEAR, fillcolor=fill)


def pil_ops(img):
    """timm's functions (auto_augment.py of timm 1.0.31) with their arguments."""
    fill = (124, 116, 104) if img.mode == "RGB" else 128
    yield "autocontrast", 0, ImageOps.autocontrast(img)
    yield "equalize", 0, ImageOps.equalize(img)
    yield "invert", 0, ImageOps.invert(img)
    for deg in (9.0, -13.5, 30.0, -27.3, 81.0):
        yield "rotate", deg, img.rotate(deg, resample=Image.BILINEAR, fillcolor=fill)
    for bits in (1, 2, 3, 4, 8):
        yield "posterize", bits, ImageOps.posterize(img, bits)
    for t in (0, 77, 128, 256):
        yield "solarize", t, ImageOps.solarize(img, t)
    for add in (0, 33, 110):
        lut = [min(255, i + add) if i < 128 else i for i in range(256)]
        yield "solarize_add", add, img.point(lut * len(img.getbands()))
    for f in (0.1, 0.46, 0.73, 1.0, 1.27, 1.9):
        yield "color", f, ImageEnhance.Color(img).enhance(f)
        yield "contrast", f, ImageEnhance.Contrast(img).enhance(f)
        yield "brightness", f, ImageEnhance.Brightness(img).enhance(f)
        yield "sharpness", f, ImageEnhance.Sharpness(img).enhance(f)
    for v in (0.09, -0.3, 0.27):
        yield "shear_x", v, affine(img, (1, v, 0, 0, 1, 0))
        yield "shear_y", v, affine(img, (1, 0, 0, v, 1, 0))
    for v in (2.4, -7.7, 25.2, 300.0):
        yield "translate_x", v, affine(img, (1, 0, v, 0, 1, 0))
        yield "translate_y", v, affine(img, (1, 0, 0, 0, 1, v))


def pil_rows(good):
    for name in ("444.jpg", "gray.jpg", "gray2.png", "one-pixel.jpg"):
        img = opened(good[name])
        c = 1 if name == "gray.jpg" else 3
        for op, arg, out in pil_ops(channels(img, c)):
            yield name, c, op, repr(float(arg)), sha(out)


def write(name, rows):
    lines = [f"# Pillow {PIL.__version__}"]
    lines += ["\t".join(str(v) for v in row) for row in rows]
    (HERE / name).write_text("\n".join(lines) + "\n")


def main():
    HERE.mkdir(exist_ok=True)
    good = {**jpeg_files(), **other_files()}
    bad = refused_files(good)
    for name, data in {**good, **{k: v[0] for k, v in bad.items()}}.items():
        (HERE / name).write_bytes(data)
    write("decode.tsv", decode_rows(good, bad))
    write("eval.tsv", eval_rows(good))
    write("resize.tsv", resize_rows(good))
    write("pil_aug.tsv", pil_rows(good))


if __name__ == "__main__":
    main()
