"""Product images: upload, resizing by a job, and removal of metadata."""

import asyncio
import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from api_client import Json, assert_problem
from fuzzing import MARK, fuzz
from restwell import App
from restwell.ids import new_id
from restwell.settings import FilesSettings
from restwell.testing import finish_jobs
from scoreboard import Score
from shop.app import create_app
from shop.images import render
from shop.settings import ShopSettings
from shop_client import ShopClient


@pytest.fixture
def app(settings: ShopSettings, tmp_path: Path) -> App:
    return create_app(settings.model_copy(update={"files": FilesSettings(dir=tmp_path / "files")}))


@pytest.fixture
async def product(admin: ShopClient) -> Json:
    return await admin.first_product()


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    output = io.BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


def photograph(width: int = 1_600, height: int = 800) -> bytes:
    """Red on the left, blue on the right, with a rotated EXIF orientation and a GPS position."""
    image = Image.new("RGB", (width, height), "red")
    image.paste("blue", (width // 2, 0, width, height))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate 90 degrees clockwise: the left side becomes the top
    exif[0x010E] = "SECRET PLACE"
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 29.0)
    return encoded(image, exif=exif)


async def send(api: ShopClient, product: Json, content: bytes, name: str = "file") -> httpx.Response:
    return await api.client.post(
        f"/v1/products/{product['id']}/images",
        files={name: ("holiday.jpg", content, "image/jpeg")},
        headers={"authorization": f"Bearer {api.tokens['access_token']}"} if api.tokens else {},
    )


@pytest.mark.slow
async def test_an_image_is_accepted_at_once_and_processed_by_a_job(
    admin: ShopClient, anyone: ShopClient, app: App, product: Json, tmp_path: Path
) -> None:
    answer = await send(admin, product, photograph())
    assert (answer.status_code, answer.json()["state"], answer.json()["urls"]) == (202, "pending", {})
    where = answer.headers["location"]
    assert (await anyone.get(where)).json()["state"] == "pending"
    assert_problem(await anyone.get(f"{where}/small"), 404, "not_found")
    await finish_jobs(app)

    image = (await anyone.get(where)).json()
    assert (image["state"], image["width"], image["height"]) == ("ready", 800, 1_600)
    sizes = {}
    for size, address in image["urls"].items():
        got = await anyone.get(address)
        assert got.headers["content-type"] == "image/webp"
        assert got.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert got.headers["cross-origin-resource-policy"] == "cross-origin"
        assert got.headers["x-content-type-options"] == "nosniff"
        with Image.open(io.BytesIO(got.content)) as made:
            assert made.format == "WEBP"
            assert not made.getexif()
            assert b"SECRET" not in got.content
            above = made.convert("RGB").getpixel((made.width // 2, made.height // 10))
            assert isinstance(above, tuple)
            assert above[0] > 200
            assert above[2] < 50, "rotated: the red half is at the top"
            sizes[size] = made.size
    assert sizes == {"small": (80, 160), "medium": (240, 480), "large": (600, 1_200)}
    left = sorted(path.name for path in (tmp_path / "files").rglob("*") if path.is_file())
    assert left == ["large.webp", "medium.webp", "small.webp"], "the upload with its GPS position is deleted"
    assert [one["id"] for one in (await anyone.get(f"/v1/products/{product['id']}/images")).json()["items"]] == [
        image["id"]
    ]
    assert_problem(await anyone.get(f"{where}/gigantic"), 404, "not_found")


@pytest.mark.slow
async def test_an_image_keeps_its_transparency_and_visible_colours(admin: ShopClient, app: App, product: Json) -> None:
    glass = Image.new("RGBA", (300, 100), (0, 200, 0, 128))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for content in (encoded(glass, "PNG", icc_profile=profile), encoded(glass, "WEBP", icc_profile=b"not a profile")):
        where = (await send(admin, product, content)).headers["location"]
        await finish_jobs(app)
        got = await admin.get(f"{where}/small")
        with Image.open(io.BytesIO(got.content)) as made:
            pixel = made.getpixel((10, 10))
        assert made.mode == "RGBA"
        assert isinstance(pixel, tuple)
        assert abs(pixel[1] - 200) < 12
        assert abs(pixel[3] - 128) < 4


def bomb(edge: int) -> bytes:
    """A PNG of a few hundred bytes whose header declares a square of this size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10_000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "unsupported format", id="nothing"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "unsupported format", id="svg"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n", "unsupported format", id="postscript"),
        pytest.param(encoded(Image.new("RGB", (9, 9)), "GIF"), "unsupported format", id="gif"),
        pytest.param(bomb(7_000), "7,000 x 7,000 pixels; 40,000,000 at most", id="large bomb"),
        pytest.param(bomb(30_000), "too many pixels; 40,000,000 at most", id="huge bomb"),
    ],
)
async def test_a_file_that_is_not_an_image_or_a_decompression_bomb_is_refused(
    admin: ShopClient, app: App, product: Json, tmp_path: Path, content: bytes, words: str
) -> None:
    problem = assert_problem(await send(admin, product, content), 422, "invalid")
    assert problem["errors"][0]["path"] == "file"
    assert words in problem["errors"][0]["message"]
    assert list(tmp_path.rglob("upload")) == []
    assert await app.kit.jobs.queue_stats() == []


@pytest.mark.slow
async def test_an_image_with_a_damaged_end_fails_with_a_reason(admin: ShopClient, app: App, product: Json) -> None:
    where = (await send(admin, product, photograph()[:4_000])).headers["location"]
    await finish_jobs(app)
    image = (await admin.get(where)).json()
    assert (image["state"], image["failure_code"]) == ("failed", "damaged_image")
    assert image["reason"].startswith("the image is damaged: ")


def tiff(kind: int, value: int) -> bytes:
    """EXIF with only an orientation, of the given type."""
    return b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00" + struct.pack("<HHII", 0x0112, kind, 1, value) + bytes(4)


def with_tag(tag: int, kind: int) -> bytes:
    """EXIF with a rotated orientation and another field of the wrong type."""
    entries = struct.pack("<HHII", 0x0112, 3, 1, 6) + struct.pack("<HHII", tag, kind, 1, 7)
    return b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x02\x00" + entries + bytes(4)


@pytest.mark.parametrize(
    "exif",
    [
        *(pytest.param(tiff(kind, 6), id=f"orientation of type {kind}") for kind in (0, 2, 5, 7, 10, 11, 12, 99)),
        pytest.param(tiff(3, 9), id="unknown orientation"),
        *(pytest.param(with_tag(0x8825, kind), id=f"GPS of type {kind}") for kind in (2, 3, 12)),
        *(pytest.param(with_tag(0x010E, kind), id=f"text of type {kind}") for kind in (1, 5, 11)),
        *(pytest.param(with_tag(0x011A, kind), id=f"resolution of type {kind}") for kind in (2, 7)),
        pytest.param(b"Exif\x00\x00II*\x00\xff\xff\xff\xff", id="ends early"),
        pytest.param(b"Exif\x00\x00" + bytes(range(256)), id="noise"),
    ],
)
def test_an_image_with_damaged_exif_is_processed(tmp_path: Path, exif: bytes) -> None:
    """Regression: Pillow re-encoded the EXIF to remove the orientation and raised struct.error or TypeError."""
    plain = encoded(Image.new("RGB", (40, 20), "red"))
    path = tmp_path / "upload"
    path.write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow about the damaged data
        render.check(path.read_bytes())
        made = render.render(str(path), {"small": 10})
    assert {made.width, made.height} == {20, 40}
    assert not Image.open(io.BytesIO(made.versions["small"])).getexif()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_as_pillow_does(orientation: int) -> None:
    image = Image.new("RGB", (16, 8), "white")
    image.paste("red", (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(image, "PNG", exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        assert render._upright(image).tobytes() == ImageOps.exif_transpose(image).tobytes()


@pytest.mark.filterwarnings("ignore")  # of Pillow about damaged data
@pytest.mark.scoreboard("T1", "any image", MARK, backend="none")
def test_every_upload_is_processed_or_refused(score: Score, tmp_path: Path) -> None:
    """Fails if exceptions of Pillow's decoders are not converted: struct.error, TypeError, IndexError."""
    small = Image.new("RGB", (24, 12), "red")
    exif = photograph(24, 12)
    rights = [exif, encoded(small, "PNG"), encoded(small, "WEBP"), encoded(small, "JPEG"), bomb(3)]
    path = tmp_path / "upload"
    outside = ThreadPoolExecutor(1)  # in production, resizing runs in a separate process

    def take(content: bytes) -> str:
        try:
            render.check(content)
            path.write_bytes(content)
            made = outside.submit(render.render, str(path), {"small": 8}).result()
        except render.InvalidImage:
            return "no image"
        assert made.versions["small"].startswith(b"RIFF")
        return "made"

    def damaged(right: bytes) -> st.SearchStrategy[bytes]:
        changes = st.lists(st.tuples(st.integers(30, len(right) - 1), st.integers(0, 255)), min_size=1, max_size=8)
        return changes.map(lambda given: bytes(dict(given).get(at, byte) for at, byte in enumerate(right)))

    cut = st.sampled_from(rights).flatmap(lambda right: st.integers(0, len(right)).map(lambda end: right[:end]))
    with outside:
        fuzz(score, st.binary() | cut | st.sampled_from(rights).flatmap(damaged), take)


async def test_an_upload_form_has_exactly_one_file(admin: ShopClient, product: Json) -> None:
    path, token = f"/v1/products/{product['id']}/images", {"authorization": f"Bearer {admin.tokens['access_token']}"}
    photo = photograph(100, 100)
    assert_problem(await send(admin, product, photo, name="picture"), 422, "invalid")
    two = [("file", ("a.jpg", photo)), ("file", ("b.jpg", photo))]
    assert_problem(await admin.client.post(path, files=two, headers=token), 422, "invalid")
    assert_problem(
        await admin.client.post(path, data={"file": "text"}, files={}, headers=token), 415, "unsupported_media_type"
    )
    assert_problem(await admin.client.post(path, content=photo, headers=token), 415, "unsupported_media_type")
    many = [(f"file{number}", (f"{number}.jpg", b"x")) for number in range(100)]
    answer = await admin.client.post(path, files=many, headers=token)
    assert 400 <= answer.status_code < 500
    for body, kind in ((b"--x\r\n", "multipart/form-data; boundary=x"), (b"", "multipart/form-data")):
        answer = await admin.client.post(path, content=body, headers={**token, "content-type": kind})
        assert 400 <= answer.status_code < 500, answer.text
    assert_problem(await send(admin, product, bytes(10 * 2**20 + 1)), 413, "body_too_large")


async def test_only_an_admin_adds_images_and_only_to_an_existing_product(
    admin: ShopClient, customer: ShopClient, anyone: ShopClient, product: Json
) -> None:
    photo = photograph(100, 100)
    assert_problem(await send(customer, product, photo), 403, "forbidden")
    assert_problem(await send(anyone, product, photo), 401, "unauthorized")
    assert_problem(await send(admin, {"id": str(new_id())}, photo), 404, "not_found")
    where = (await send(admin, product, photo)).headers["location"]
    other = (await admin.get("/v1/products?limit=2")).json()["items"][1]
    assert_problem(await anyone.get(where.replace(product["id"], other["id"])), 404, "not_found")


@pytest.mark.slow
async def test_concurrent_uploads_never_exceed_the_limit_of_images(admin: ShopClient, product: Json) -> None:
    """Fails without the lock on the product: uncommitted images are not counted."""

    async def send_until_admitted() -> httpx.Response:
        while (answer := await send(admin, product, photograph(50, 50))).status_code == 503:
            assert_problem(answer, 503, "overloaded")  # a busy machine refuses some
            await asyncio.sleep(0.2)
        return answer

    answers = await asyncio.gather(*(send_until_admitted() for _ in range(23)))
    assert sorted(answer.status_code for answer in answers) == [202] * 20 + [409] * 3


@pytest.mark.slow
async def test_deleting_a_product_deletes_its_images(admin: ShopClient, app: App, product: Json) -> None:
    where = (await send(admin, product, photograph())).headers["location"]
    current = await admin.get(f"/v1/products/{product['id']}")
    gone = await admin.send("DELETE", f"/v1/products/{product['id']}", if_match=current.headers["etag"])
    assert gone.status_code == 204
    await finish_jobs(app)
    assert_problem(await admin.get(where), 404, "not_found")
