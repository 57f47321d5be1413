"""Pixels: what is an image that we take, and its smaller versions. Nothing here trusts the bytes."""

import io
import warnings
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from PIL import ExifTags, Image, ImageCms

FORMATS: Final = ("JPEG", "PNG", "WEBP")
MAX_PIXELS: Final = 40_000_000
"""Of the upload: 160 MB once decoded. A file of a few kilobytes may claim a thousand times that."""
QUALITY: Final = 80

_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by its EXIF orientation."""


class InvalidImage(ValueError):
    """Its message says what is wrong, for the person who sent it."""


class Rendered(Struct, frozen=True):
    """The upright size of the upload in pixels, and its versions as WebP, without any metadata."""

    width: int
    height: int
    versions: dict[str, bytes]


def check(content: bytes) -> None:
    """Read no more than the header. Raises InvalidImage for what is none, or has too many pixels."""
    with _open(content):
        pass


def render(path: str, edges: dict[str, int]) -> Rendered:
    """The image in the file, in each version at most so many pixels wide and high. Raises InvalidImage."""
    with _open(Path(path).read_bytes()) as image:
        try:
            image.load()
            upright = _in_srgb(_upright(image))
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  # for damaged bytes, Pillow raises whatever its decoders do
            raise InvalidImage(f"the image is damaged: {error}") from None
    return Rendered(upright.width, upright.height, {name: _webp(upright, edge) for name, edge in edges.items()})


def _open(content: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our limit is lower
            image = Image.open(io.BytesIO(content), formats=FORMATS)
    except MemoryError:
        raise
    except Image.DecompressionBombError:
        raise InvalidImage(f"too many pixels; {MAX_PIXELS:,} at most") from None
    except Exception:  # noqa: BLE001  # as above
        raise InvalidImage(f"not an image that we take: {', '.join(FORMATS)}") from None
    if image.width * image.height > MAX_PIXELS:
        width, height = image.size
        image.close()
        raise InvalidImage(f"{width:,} x {height:,} pixels; {MAX_PIXELS:,} at most")
    return image


def _upright(image: Image.Image) -> Image.Image:
    """As its camera was held. One whose EXIF cannot be read is taken as it is."""
    try:
        orientation: Any = image.getexif().get(ExifTags.Base.Orientation)
        turn = _TURNS.get(orientation)
    except Exception:  # noqa: BLE001  # as above
        turn = None
    return image if turn is None else image.transpose(turn)


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
        except Exception:  # noqa: BLE001  # as above
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
