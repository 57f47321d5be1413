"""Pixels: what is an image that we take, and its smaller versions. Nothing here trusts the bytes."""

import io
import warnings
from pathlib import Path
from typing import Final

from msgspec import Struct
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

FORMATS: Final = ("JPEG", "PNG", "WEBP")
MAX_PIXELS: Final = 40_000_000
"""Of the upload: 160 MB once decoded. A file of a few kilobytes may claim a thousand times that."""
QUALITY: Final = 80

# What Pillow raises for bytes that are no image, or only the beginning of one.
_BROKEN: Final = (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError)


class NotAnImage(ValueError):
    """Its message says what is wrong, for the person who sent it."""


class Rendered(Struct, frozen=True):
    """The upright size of the upload in pixels, and its versions as WebP, without any metadata."""

    width: int
    height: int
    versions: dict[str, bytes]


def check(content: bytes) -> None:
    """Read no more than the header. Raises NotAnImage for what is none, or has too many pixels."""
    with _open(io.BytesIO(content)):
        pass


def render(path: str, edges: dict[str, int]) -> Rendered:
    """The image in the file, in each version at most so many pixels wide and high. Raises NotAnImage."""
    with _open(Path(path)) as image:
        try:
            image.load()
            upright = _in_srgb(ImageOps.exif_transpose(image))
        except _BROKEN as error:
            raise NotAnImage(f"the image is damaged: {error}") from None
    return Rendered(upright.width, upright.height, {name: _webp(upright, edge) for name, edge in edges.items()})


def _open(source: io.BytesIO | Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our limit is lower
            image = Image.open(source, formats=FORMATS)
    except FileNotFoundError:
        raise
    except Image.DecompressionBombError:
        raise NotAnImage(f"too many pixels; {MAX_PIXELS:,} at most") from None
    except _BROKEN:
        raise NotAnImage(f"not an image that we take: {', '.join(FORMATS)}") from None
    if image.width * image.height > MAX_PIXELS:
        width, height = image.size
        image.close()
        raise NotAnImage(f"{width:,} x {height:,} pixels; {MAX_PIXELS:,} at most")
    return image


def _in_srgb(image: Image.Image) -> Image.Image:
    """As browsers show it without a profile. One whose profile cannot be read is taken as it is."""
    wanted = "RGBA" if image.has_transparency_data else "RGB"
    profile = image.info.get("icc_profile")
    if profile and image.mode in {"RGB", "RGBA", "CMYK"}:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(
                image, source, target, outputMode=wanted if image.mode == "RGBA" else "RGB"
            )
        except (ImageCms.PyCMSError, OSError):
            converted = None
        if converted is not None:
            return converted.convert(wanted)
    return image.convert(wanted)


def _webp(image: Image.Image, edge: int) -> bytes:
    small = image.copy()
    small.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    small.info.clear()
    output = io.BytesIO()
    small.save(output, "WEBP", quality=QUALITY, exif=b"", icc_profile=b"", xmp=b"")
    return output.getvalue()
