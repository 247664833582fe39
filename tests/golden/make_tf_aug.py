"""Golden outputs of TF Model Garden's RandAugment operations: writes tests/golden/image/tf_aug.tsv.

Columns: image, operation, level, argument, centre x, centre y, SHA-256 of the raw pixels. The images are
JPEG files of this tree and tf_*.png made here, decoded by Pillow (which our decoder equals).
Made with tensorflow-cpu 2.20.0, tf-models-official 2.20.0, Pillow 13.0.0, numpy 2.4.6:
  pip install tensorflow-cpu==2.20.0
  pip install --no-deps tf-models-official==2.20.0 'tf-keras==2.20.*'
  pip install gin-config pyyaml tensorflow-datasets scipy matplotlib pandas pycocotools \\
      opencv-python-headless psutil pillow==13.0.0
  python3 tests/golden/make_tf_aug.py
"""
import hashlib
import os
import pathlib

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from official.vision.ops import augment as tfa  # noqa: E402
from PIL import Image  # noqa: E402

HERE = pathlib.Path(__file__).parent
OUT = HERE / "image"
LEVELS = (5.0, 10.0, 15.0, 27.0)
CUTOUT, TRANSLATE = 40.0, (10.0, 100.0)


def images():
    for name in ("discs/00.jpg", "stripes/03.jpg"):
        path = HERE.parent / "data" / "photos" / name
        yield "photos/" + name, np.asarray(Image.open(path).convert("RGB"))
    g = np.random.default_rng(7)
    y, x = np.mgrid[0:29, 0:37]
    ramp = np.stack([x * 6 + y, 60 + ((x // 3 + y // 5) % 7) * 20,
                     np.where(x > 20, 200, g.integers(90, 120, x.shape))], -1)
    yield "tf_ramp.png", np.clip(ramp, 0, 255).astype(np.uint8)
    flat = np.zeros((17, 17, 3), np.uint8)  # a constant channel, noise, two values
    flat[..., 0], flat[..., 1] = 77, g.integers(0, 256, (17, 17))
    flat[6:, :, 2] = 255
    yield "tf_flat.png", flat


def levelled(t, level):
    """(operation, argument, output) of what has an argument and no sign."""
    args = tfa.level_to_arg(CUTOUT, TRANSLATE[0])
    for op, key in (("posterize", "Posterize"), ("solarize", "Solarize"),
                    ("solarize_add", "SolarizeAdd"), ("color", "Color"),
                    ("contrast", "Contrast"), ("brightness", "Brightness"),
                    ("sharpness", "Sharpness")):
        (arg,) = args[key](level)
        yield op, arg, getattr(tfa, op)(t, arg)


def geometric(t, level, sign):
    grey = [128] * 3
    deg, shear = sign * (level / 10.0) * 30.0, sign * (level / 10.0) * 0.3
    yield "rotate", deg, tfa.wrapped_rotate(t, deg, grey)
    yield "shear_x", shear, tfa.shear_x(t, shear, grey)
    yield "shear_y", shear, tfa.shear_y(t, shear, grey)
    for const in TRANSLATE:
        px = sign * (level / 10.0) * const
        yield "translate_x", px, tfa.translate_x(t, px, grey)
        yield "translate_y", px, tfa.translate_y(t, px, grey)


def cases(a):
    t = tf.constant(a)
    for op in ("autocontrast", "equalize", "invert"):
        yield op, 0, 0.0, 0, 0, getattr(tfa, op)(t)
    for level in LEVELS:
        for op, arg, out in levelled(t, level):
            yield op, level, arg, 0, 0, out
        for sign in (1, -1):
            for op, arg, out in geometric(t, level, sign):
                yield op, sign * level, arg, 0, 0, out
        (pad,) = tfa.level_to_arg(CUTOUT, TRANSLATE[0])["Cutout"](level)
        h, w = a.shape[:2]
        for cx, cy in ((0, 0), (w - 1, h - 1), (w // 2, h // 3)):
            yield "cutout", level, pad, cx, cy, tfa._fill_rectangle(t, cx, cy, pad, pad, [128] * 3)


def main():
    lines = [f"# tensorflow {tf.__version__}, tf-models-official 2.20.0"]
    for name, a in images():
        if name.endswith(".png"):
            Image.fromarray(a).save(OUT / name)
        for op, level, arg, cx, cy, out in cases(a):
            out = np.ascontiguousarray(out.numpy())
            assert out.dtype == np.uint8 and out.shape == a.shape, (name, op, level)
            row = (name, op, level, repr(float(arg)), cx, cy, hashlib.sha256(out).hexdigest())
            lines.append("\t".join(str(v) for v in row))
    (OUT / "tf_aug.tsv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
