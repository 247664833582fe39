"""Copies of test photos as dumps hold them: smaller, larger, requantised, converted. For the leak guard.

python tests/data/make_near.py (Pillow) writes tests/data/near/.
"""

import os

from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
COPIES = {
    "discs/02.jpg": [("q30", 1, 30), ("small", 0.7, 85), ("large", 1.6, 90)],
    "stripes/05.jpg": [("q30", 1, 30), ("small", 0.7, 85)],
    "tiles/07.jpg": [("small", 0.8, 50)],
}


def main():
    out = os.path.join(HERE, "near")
    os.makedirs(out, exist_ok=True)
    for name, copies in COPIES.items():
        photo = Image.open(os.path.join(HERE, "photos", name)).convert("RGB")
        stem = name.replace("/", "-").replace(".jpg", "")
        for label, scale, quality in copies:
            size = (round(photo.width * scale), round(photo.height * scale))
            photo.resize(size, Image.Resampling.LANCZOS).save(
                os.path.join(out, f"{stem}-{label}.jpg"), quality=quality)
        photo.save(os.path.join(out, f"{stem}.png"))


if __name__ == "__main__":
    main()
