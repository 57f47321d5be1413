"""Validation and resizing of uploaded images. The input is untrusted."""

import io
import warnings
from pathlib import Path
from typing import Final

from msgspec import Struct
from PIL import Image, ImageCms, ImageOps

FORMATS: Final = ("JPEG", "PNG", "WEBP")
MAX_PIXELS: Final = 40_000_000
"""Limit of the upload: 160 MB decoded. Protects against decompression bombs."""
QUALITY: Final = 80


class InvalidImage(ValueError):
    """The upload is not a valid image. The message is shown to the client."""


class Rendered(Struct, frozen=True):
    """Size of the upload in pixels after rotation, and its versions as WebP without metadata."""

    width: int
    height: int
    versions: dict[str, bytes]


def check(content: bytes) -> None:
    """Validate the header only. Raises InvalidImage for an unsupported format or too many pixels."""
    with _open(content):
        pass


def render(path: str, edges: dict[str, int]) -> Rendered:
    """Resize the image in a file. ``edges`` maps a version to its maximum width and height. Raises InvalidImage."""
    with _open(Path(path).read_bytes()) as image:
        try:
            image.load()
            upright = _in_srgb(_upright(image))
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  # Pillow's decoders raise any exception for damaged data
            raise InvalidImage(f"the image is damaged: {error}") from None
    return Rendered(upright.width, upright.height, {name: _webp(upright, edge) for name, edge in edges.items()})


def _open(content: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is lower
            image = Image.open(io.BytesIO(content), formats=FORMATS)
    except MemoryError:
        raise
    except Image.DecompressionBombError:
        raise InvalidImage(f"too many pixels; {MAX_PIXELS:,} at most") from None
    except Exception:  # noqa: BLE001  # as above
        raise InvalidImage(f"unsupported format; supported: {', '.join(FORMATS)}") from None
    if image.width * image.height > MAX_PIXELS:
        width, height = image.size
        image.close()
        raise InvalidImage(f"{width:,} x {height:,} pixels; {MAX_PIXELS:,} at most")
    return image


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation. Unreadable EXIF data is ignored."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001  # as above
        return image


def _in_srgb(image: Image.Image) -> Image.Image:
    """Convert to sRGB. An unreadable colour profile is ignored."""
    mode = "RGBA" if image.has_transparency_data else "RGB"
    profile = image.info.get("icc_profile")
    if profile and image.mode in {"RGB", "RGBA", "CMYK"}:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(
                image, source, target, outputMode=mode if image.mode == "RGBA" else "RGB"
            )
        except Exception:  # noqa: BLE001  # as above
            converted = None
        if converted is not None:
            return converted.convert(mode)
    return image.convert(mode)


def _webp(image: Image.Image, edge: int) -> bytes:
    small = image.copy()
    small.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    small.info.clear()
    output = io.BytesIO()
    small.save(output, "WEBP", quality=QUALITY, exif=b"", icc_profile=b"", xmp=b"")
    return output.getvalue()
