"""Makes the repository's own test photos: photos/<class>/NN.jpg (3 classes x 12) and bad/*.

Everything is drawn from a fixed seed, so nothing here has an author but this script.
Made with Pillow 13.0.0 and numpy 2.4.6: python3 tests/data/make_photos.py
"""
import io
import os
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

HERE = pathlib.Path(__file__).parent
CLASSES = ("discs", "stripes", "tiles")
PER_CLASS = 12


def background(rng, w, h):
    """A smooth two-colour gradient with grain."""
    a, b = rng.integers(20, 236, (2, 3))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:h, 0:w]
    t = (x * np.cos(angle) + y * np.sin(angle)) / (w + h) + 0.5
    img = a + (b - a) * t[..., None] + rng.normal(0, 6, (h, w, 1))
    return Image.fromarray(np.clip(img, 0, 255).astype(np.uint8))


def colour(rng):
    return tuple(int(v) for v in rng.integers(0, 256, 3))


def discs(rng, draw, w, h):
    for _ in range(int(rng.integers(5, 10))):
        r = rng.uniform(0.06, 0.2) * min(w, h)
        x, y = rng.uniform(0, w), rng.uniform(0, h)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour(rng), outline=colour(rng))


def stripes(rng, draw, w, h):
    step = int(rng.integers(10, 22))
    fill, slope = colour(rng), rng.uniform(-1, 1) * h
    for x in range(-h, w + h, step):
        draw.line((x, 0, x + slope, h), fill=fill, width=max(3, step // 2))


def tiles(rng, draw, w, h):
    step = int(rng.integers(10, 24))
    fills = (colour(rng), colour(rng))
    for j, y in enumerate(range(0, h, step)):
        for i, x in enumerate(range(0, w, step)):
            if (i + j) % 2 == 0:
                draw.rectangle((x, y, x + step - 2, y + step - 2), fill=fills[(i * 7 + j) % 2])


def photo(rng, kind):
    w, h = (int(v) for v in rng.integers(64, 161, 2))
    img = background(rng, w, h)
    {"discs": discs, "stripes": stripes, "tiles": tiles}[kind](rng, ImageDraw.Draw(img), w, h)
    return img.filter(ImageFilter.GaussianBlur(0.6))


def jpeg(img, **kw):
    buf = io.BytesIO()
    img.save(buf, "JPEG", **kw)
    return buf.getvalue()


def main():
    rng = np.random.default_rng(20260101)
    last = b""
    for kind in CLASSES:
        (HERE / "photos" / kind).mkdir(parents=True, exist_ok=True)
        for i in range(PER_CLASS):
            img = photo(rng, kind)
            if i == PER_CLASS - 1:
                img = img.convert("L")  # one gray file a class
            last = jpeg(img, quality=int(rng.integers(75, 93)), progressive=i % 5 == 4)
            (HERE / "photos" / kind / f"{i:02d}.jpg").write_bytes(last)
    bad = HERE / "bad"
    os.makedirs(bad, exist_ok=True)
    img = photo(rng, "discs")
    whole = jpeg(img, quality=85)
    (bad / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (bad / "text.jpg").write_bytes(b"This is not an image.\n" * 8)
    (bad / "empty.jpg").write_bytes(b"")
    buf = io.BytesIO()
    img.resize((40, 30)).save(buf, "PNG")  # a good image under a wrong name
    (bad / "png-named.jpg").write_bytes(buf.getvalue())


if __name__ == "__main__":
    main()
