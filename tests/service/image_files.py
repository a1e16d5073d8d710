"""Files of every format and colour mode, and how a graph gets them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.imaging import decode, prepare
from service.package import Preprocessing
from tests.pictures import BLUE, GREEN, RED, deep_png, encoded, solid

ORIENTATION = 0x0112
PIXELS = 100_000
BACKGROUND = 40
CMYK_GREEN = (255, 0, 255, 0)


def read(file: bytes, max_pixels: int = PIXELS, **preprocessing: Any) -> NDArray[np.uint8]:
    """The file as a graph that takes 4x4 images gets it."""
    card = {"tensor": "image", "colour": "rgb", "height": 4, "width": 4, "background": BACKGROUND, **preprocessing}
    return prepare(decode(file, max_pixels), Preprocessing.model_validate(card))


def grey_file(rows: Any, format_: str = "PNG", dtype: str = "u1", **options: Any) -> bytes:
    """A file of these grey levels."""
    return encoded(Image.fromarray(np.asarray(rows, dtype)), format_, **options)


def palette(transparency: int | bytes | None = None, format_: str = "PNG") -> bytes:
    """A palette image whose every pixel is number 1, orange."""
    image = solid("P", 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    return encoded(image, format_, **({} if transparency is None else {"transparency": transparency}))


def animated(format_: str) -> bytes:
    """A red frame, and then others."""
    frames = [solid("RGB", colour) for colour in (RED, GREEN, BLUE)]
    return encoded(frames[0], format_, save_all=True, append_images=frames[1:], lossless=True)


# Of one colour, and what it is in 8-bit RGB.
SOLID: dict[str, tuple[bytes, tuple[int, int, int]]] = {
    "bilevel_png": (encoded(solid("1", 1), "PNG"), (255, 255, 255)),
    "grey_png": (encoded(solid("L", 200), "PNG"), (200, 200, 200)),
    "grey_alpha_png": (encoded(solid("LA", (200, 255)), "PNG"), (200, 200, 200)),
    "rgb_png": (encoded(solid("RGB", (200, 100, 50)), "PNG"), (200, 100, 50)),
    "rgba_png": (encoded(solid("RGBA", (200, 100, 50, 255)), "PNG"), (200, 100, 50)),
    "palette_png": (palette(), (200, 100, 50)),
    "palette_png_other_index_transparent": (palette(transparency=0), (200, 100, 50)),
    "palette_png_alpha_table": (palette(transparency=b"\0\xff"), (200, 100, 50)),
    "white_16_bit_png": (grey_file(np.full((7, 9), 65535), dtype="u2"), (255, 255, 255)),
    "grey_16_bit_png": (grey_file(np.full((7, 9), 0x8001), dtype="u2"), (128, 128, 128)),
    "grey_alpha_16_bit_png": (deep_png(4, (0x8000, 0xFFFF)), (128, 128, 128)),
    "rgb_16_bit_png": (deep_png(2, (0xFFFF, 0x8000, 0)), (255, 128, 0)),
    "rgba_16_bit_png": (deep_png(6, (0xFFFF, 0x8000, 0, 0xFFFF)), (255, 128, 0)),
    "cmyk_jpeg": (encoded(solid("CMYK", CMYK_GREEN), "JPEG", quality=100), GREEN),
    "grey_jpeg": (encoded(solid("L", 200), "JPEG"), (200, 200, 200)),
    "rgb_jpeg": (encoded(solid("RGB", (200, 100, 50)), "JPEG", quality=100, subsampling=0), (200, 100, 50)),
    "progressive_jpeg": (encoded(solid("L", 200), "JPEG", progressive=True), (200, 200, 200)),
    "gif": (palette(format_="GIF"), (200, 100, 50)),
    "interlaced_gif": (encoded(solid("P", 0), "GIF", interlace=True), (0, 0, 0)),
    "animated_gif": (animated("GIF"), RED),
    "animated_webp": (animated("WEBP"), RED),
    "animated_png": (animated("PNG"), RED),
    "two_page_tiff": (animated("TIFF"), RED),
    "webp": (encoded(solid("RGB", (200, 100, 50)), "WEBP", lossless=True), (200, 100, 50)),
    "rgba_webp": (encoded(solid("RGBA", (200, 100, 50, 255)), "WEBP", lossless=True), (200, 100, 50)),
    "bmp": (encoded(solid("RGB", (200, 100, 50)), "BMP"), (200, 100, 50)),
    "bilevel_bmp": (encoded(solid("1", 1), "BMP"), (255, 255, 255)),
    "ppm": (encoded(solid("RGB", (200, 100, 50)), "PPM"), (200, 100, 50)),
    "bilevel_pbm": (encoded(solid("1", 1), "PPM"), (255, 255, 255)),
    "white_16_bit_pgm": (b"P5 3 2 65535\n" + b"\xff\xff" * 6, (255, 255, 255)),
    "grey_16_bit_pgm": (b"P5 3 2 65535\n" + b"\x80\x00" * 6, (128, 128, 128)),
    "white_10_bit_pgm": (b"P2 1 1 1023\n1023", (255, 255, 255)),
    "tiff": (encoded(solid("RGB", (200, 100, 50)), "TIFF"), (200, 100, 50)),
    "deflated_tiff": (encoded(solid("RGB", (200, 100, 50)), "TIFF", compression="tiff_adobe_deflate"), (200, 100, 50)),
    "cmyk_tiff": (encoded(solid("CMYK", CMYK_GREEN), "TIFF"), GREEN),
    "white_16_bit_tiff": (grey_file(np.full((7, 9), 65535), "TIFF", "u2"), (255, 255, 255)),
    "32_bit_tiff": (grey_file(np.full((7, 9), 200), "TIFF", "i4"), (200, 200, 200)),
    "32_bit_tiff_over_range": (grey_file(np.full((7, 9), 70000), "TIFF", "i4"), (255, 255, 255)),
    "float_tiff": (grey_file(np.full((7, 9), 200.7), "TIFF", "f4"), (200, 200, 200)),
    "float_tiff_below_range": (grey_file(np.full((7, 9), -5.0), "TIFF", "f4"), (0, 0, 0)),
    "float_tiff_infinite": (grey_file(np.full((7, 9), np.inf), "TIFF", "f4"), (255, 255, 255)),
    "float_tiff_not_a_number": (grey_file(np.full((7, 9), np.nan), "TIFF", "f4"), (0, 0, 0)),
}
# Nothing to see in them but what lies beneath.
TRANSPARENT: dict[str, bytes] = {
    "grey_alpha_png": encoded(solid("LA", (200, 0)), "PNG"),
    "rgba_png": encoded(solid("RGBA", (200, 100, 50, 0)), "PNG"),
    "rgba_16_bit_png": deep_png(6, (0xFFFF, 0x8000, 0, 0)),
    "palette_png": palette(transparency=1),
    "palette_png_alpha_table": palette(transparency=b"\xff\0"),
    "grey_png_one_level": encoded(solid("L", 200), "PNG", transparency=200),
    "bilevel_png_one_level": encoded(solid("1", 1), "PNG", transparency=1),
    "rgb_png_one_colour": encoded(solid("RGB", (200, 100, 50)), "PNG", transparency=(200, 100, 50)),
    "gif": palette(transparency=1, format_="GIF"),
    "rgba_webp": encoded(solid("RGBA", (200, 100, 50, 0)), "WEBP", lossless=True, exact=True),
    "palette_alpha_tiff": encoded(solid("RGBA", (200, 100, 50, 0)).convert("PA"), "TIFF"),
    "rgba_tiff": encoded(solid("RGBA", (200, 100, 50, 0)), "TIFF"),
}
