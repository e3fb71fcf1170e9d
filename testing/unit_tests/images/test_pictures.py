"""Decoding of pictures: formats, types of values, what is refused."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from ivadomed.errors import DataError
from ivadomed.images.exif import orientation_of
from ivadomed.images.pictures import grey, is_coloured, read_pixels, read_size, read_stored, software_of

GREY = np.random.default_rng(0).integers(0, 256, (21, 34), np.uint8)
RGB = np.stack([GREY, GREY // 2, 255 - GREY], axis=-1)
GREY16, RGB16 = np.uint16(257) * GREY + (GREY < 255), np.uint16(257) * RGB + (RGB < 255)


def save(path, content: bytes):
    path.write_bytes(content)
    return path


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(rows: list[bytes], width: int, bits: int, colour: int, palette: bytes | None = None) -> bytes:
    """A PNG written by the book (ISO 15948): rows of packed samples without filter."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    colours = chunk(b"PLTE", palette) if palette else b""
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + colours + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("samples", "colour"), [(1, 0), (2, 4), (3, 2), (4, 6)])
def test_sixteen_bits_of_png_are_kept(tmp_path, samples, colour):
    values = np.random.default_rng(1).integers(0, 65536, (5, 7, samples), np.uint16)
    path = save(tmp_path / "a.png", png([row.astype(">u2").tobytes() for row in values], 7, 16, colour))
    pixels = read_pixels(path)
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels.reshape(values.shape), values)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "1", "P"])
def test_eight_bit_png_agrees_with_pillow(tmp_path, mode):
    image = Image.fromarray(RGB).convert(mode)
    path = save(tmp_path / "a.png", encoded(image, "PNG"))
    shown = image.convert("RGB") if mode == "P" else image  # of one bit: 0 and 1, as they are stored
    np.testing.assert_array_equal(read_pixels(path), np.asarray(shown))


@pytest.mark.parametrize("pixels", [GREY, RGB])
def test_jpeg_agrees_with_pillow(tmp_path, pixels):
    smooth = np.kron(pixels[:8, :8], np.ones((8, 8) + (1,) * (pixels.ndim - 2), np.uint8))
    path = save(tmp_path / "a.jpg", encoded(Image.fromarray(smooth), "JPEG", quality=95))
    np.testing.assert_allclose(
        read_pixels(path).astype(int), np.asarray(Image.open(path)).astype(int), atol=2
    )


OPTIONS = {
    "plain": {},
    "strips": {"rowsperstrip": 8},
    "tiles": {"tile": (16, 16)},
    "big-endian": {"byteorder": ">"},
    "bigtiff": {"bigtiff": True},
    "lzw": {"compression": "lzw"},
    "lzw, predictor": {"compression": "lzw", "predictor": True},
    "deflate": {"compression": "zlib", "rowsperstrip": 8},
    "zstd": {"compression": "zstd", "tile": (16, 16)},
    "packbits": {"compression": "packbits"},
    "ome": {"ome": True},
}


@pytest.mark.parametrize("name", list(OPTIONS))
@pytest.mark.parametrize("values", [GREY, RGB, GREY16, RGB16], ids=["grey8", "rgb8", "grey16", "rgb16"])
def test_layouts_and_compressions_of_tiff(tmp_path, values, name):
    colour = "rgb" if values.ndim == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.ome.tif", values, photometric=colour, **OPTIONS[name])
    pixels = read_pixels(tmp_path / "a.ome.tif")
    assert pixels.dtype == values.dtype
    np.testing.assert_array_equal(pixels, values)


def test_jpeg_within_tiff(tmp_path):
    smooth = np.kron(RGB[:8, :8], np.ones((8, 8, 1), np.uint8))
    tifffile.imwrite(
        tmp_path / "a.tif", smooth, photometric="rgb", compression="jpeg", compressionargs={"level": 99}
    )
    pixels = read_pixels(tmp_path / "a.tif")
    assert pixels.shape == smooth.shape
    assert np.abs(pixels.astype(int) - smooth).mean() < 20  # colour is stored at half the resolution


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16", "F", "LA"])
def test_tiff_of_another_writer(tmp_path, mode):
    values = {"L": GREY, "I;16": GREY16, "F": GREY.astype(np.float32) / 255, "RGB": RGB}.get(mode)
    image = Image.fromarray(RGB).convert(mode) if values is None else Image.fromarray(values)
    path = save(tmp_path / "a.tif", encoded(image, "TIFF", compression="tiff_lzw"))
    np.testing.assert_array_equal(read_pixels(path), np.asarray(image))


def test_samples_in_planes(tmp_path):
    planes = np.ascontiguousarray(np.moveaxis(RGB, -1, 0))
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_pixels(tmp_path / "a.tif"), RGB)


@pytest.mark.parametrize("values", [GREY > 99, GREY])
def test_masks_of_tiff_are_as_stored(tmp_path, values):
    """ImageJ and tifffile write masks as "white is zero", and mean the stored values all the same."""
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    np.testing.assert_array_equal(read_pixels(tmp_path / "a.tif"), values)


def test_a_thumbnail_beside_the_picture_is_passed_over(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GREY16, photometric="minisblack")
        file.write(RGB[::4, ::4], photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(read_pixels(tmp_path / "a.tif"), GREY16)


def test_a_grey_palette_is_grey(tmp_path):
    ramp = np.tile((np.arange(255, -1, -1) * 257).astype(np.uint16), (3, 1))
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="palette", colormap=ramp)
    np.testing.assert_array_equal(read_pixels(tmp_path / "a.tif"), 255 - GREY)


def test_colours_of_a_palette_are_shown_and_their_numbers_stored(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="palette", colormap=colours.T * 257)
    image = Image.fromarray(GREY, mode="P")
    image.putpalette(colours.astype(np.uint8).ravel().tolist())
    save(tmp_path / "a.png", encoded(image, "PNG"))
    for path in (tmp_path / "a.tif", tmp_path / "a.png"):
        np.testing.assert_array_equal(read_pixels(path), colours[GREY])
        np.testing.assert_array_equal(read_stored(path).pixels, GREY)


@pytest.mark.parametrize("colour", [0, 3], ids=["grey", "palette"])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_png_of_few_bits_keeps_its_values(tmp_path, bits, colour):
    """Sixteen pixels 0, 1, 2, ... of each row, most significant bits first."""
    values = np.arange(16) % 2**bits
    row = np.packbits(((values[:, None] >> np.arange(bits)[::-1]) & 1).astype(np.uint8).ravel()).tobytes()
    palette = bytes(range(0, 3 * 2**bits)) if colour else None
    path = save(tmp_path / "a.png", png([row, row], 16, bits, colour, palette))
    picture = read_stored(path)
    np.testing.assert_array_equal(picture.pixels, [values, values])
    assert picture.full == 2**bits - 1
    if colour:
        np.testing.assert_array_equal(read_pixels(path)[0, :, 1], 3 * values + 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", [".jpg", ".png", ".tif"])
def test_pictures_are_turned_as_pillow_turns_them(tmp_path, extension, orientation):
    smooth = np.kron(np.arange(0, 240, 40, dtype=np.uint8).reshape(2, 3), np.ones((8, 8), np.uint8))
    exif = Image.Exif()
    exif[274] = orientation
    path, reference = tmp_path / f"a{extension}", tmp_path / "reference.png"
    Image.fromarray(smooth).save(reference, exif=exif)
    seen = np.asarray(ImageOps.exif_transpose(Image.open(reference)))  # Pillow mixes up sides of TIFF files
    if extension == ".tif":
        tifffile.imwrite(path, smooth, extratags=[(274, "H", 1, orientation, True)])
    else:
        Image.fromarray(smooth).save(path, exif=exif)
    np.testing.assert_allclose(read_pixels(path).astype(int), seen, atol=2)
    assert read_size(path) == seen.shape


def test_the_program_that_wrote_a_png(tmp_path):
    info = PngInfo()
    info.add_text("Comment", "Software")
    info.add_text("Software", "a program")
    path = save(tmp_path / "a.png", encoded(Image.fromarray(GREY), "PNG", pnginfo=info))
    assert software_of(path) == "a program"
    assert software_of(save(tmp_path / "b.png", encoded(Image.fromarray(GREY), "PNG"))) == ""
    assert software_of(save(tmp_path / "c.png", b"no picture")) == ""
    assert software_of(tmp_path / "gone.png") == ""


def test_damaged_exif_is_passed_over():
    block = b"II*\0" + struct.pack("<IHHHIHH", 8, 1, 274, 3, 1, 6, 0)
    assert orientation_of(block) == 6
    assert [orientation_of(block[:size]) for size in range(len(block) - 2)] == [1] * (len(block) - 2)
    assert orientation_of(block.replace(b"\6", b"\x0c")) == 1


def test_a_palette_that_lacks_colours_is_refused(tmp_path):
    path = save(tmp_path / "a.png", png([bytes([0, 1, 7])], 3, 8, 3, bytes(6)))
    with pytest.raises(DataError, match=r"a\.png: has palette index 7, but 2 colors"):
        read_stored(path)


def write_stack(path, **options):
    tifffile.imwrite(path, np.stack([GREY] * 3), photometric="minisblack", **options)


def write_cmyk(path):
    path.write_bytes(
        encoded(Image.fromarray(RGB).convert("CMYK"), "JPEG" if path.suffix == ".jpg" else "TIFF")
    )


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.tif", write_stack, r"has 3 pages, expected one; extract .*key=0"),
        ("a.ome.tif", lambda p: write_stack(p, ome=True, metadata={"axes": "ZYX"}), "has 3 pages"),
        ("a.tif", lambda p: write_stack(p, imagej=True), "has 3 pages"),
        ("a.tif", write_cmyk, "SEPARATED colors; save it as a single gray or RGB"),
        ("a.jpg", write_cmyk, "CMYK colors; save it as a single gray or RGB"),
        ("a.tif", lambda p: tifffile.imwrite(p, GREY * 1j), r"type complex128; save it"),
        (
            "a.tif",
            lambda p: tifffile.imwrite(p, np.zeros((16, 32, 32), np.uint8), volumetric=True, tile=(16,) * 3),
            r"shape \(16, 32, 32\)",
        ),
    ],
)
def test_what_is_no_single_grey_or_rgb_picture_is_refused(tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(DataError, match=rf"{name}: .*{message}") as caught:
        read_pixels(tmp_path / name)
    assert "\n" not in str(caught.value)


def contents(kind: str) -> bytes:
    image = Image.fromarray(np.kron(GREY, np.ones((8, 8), np.uint8)))
    if kind in ("PNG", "JPEG"):
        return encoded(image, kind)
    return encoded(image, "TIFF", compression=None if kind == "TIFF" else kind)


@pytest.mark.parametrize("share", [0, 0.001, 0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "tiff_lzw", "tiff_adobe_deflate"])
def test_truncated_files_are_named(tmp_path, kind, share, capfd):
    content = contents(kind)
    path = save(tmp_path / f"a.{kind.lower()[:4]}", content[: int(len(content) * share)])
    with pytest.raises(
        DataError, match=rf"{path.name}: not a readable picture \(.+\); replace or remove it"
    ) as caught:
        read_pixels(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_tiff_cut_between_two_tiles_is_not_filled_with_zeros(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.kron(GREY, np.ones((8, 8), np.uint8)), tile=(16, 16))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        last = file.pages[0].dataoffsets[-1]
    save(tmp_path / "a.tif", (tmp_path / "a.tif").read_bytes()[:last])
    with pytest.raises(DataError, match="truncated"):
        read_pixels(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16])
def test_a_tiff_that_announces_more_pixels_than_it_holds_takes_no_memory(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((8, 16), dtype), rowsperstrip=8)
    assert read_pixels(tmp_path / "a.tif").shape == (8, 16)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        file.pages[0].tags["ImageWidth"].overwrite(400_000_000, dtype="I")
    tracemalloc.start()
    with pytest.raises(DataError, match="truncated"):
        read_pixels(tmp_path / "a.tif")
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_a_png_or_jpeg_that_announces_more_pixels_than_it_holds_takes_no_memory(tmp_path):
    image = Image.fromarray(np.zeros((16, 16), np.uint8))
    png, jpeg = encoded(image, "PNG"), encoded(image, "JPEG")
    size = jpeg.index(b"\xff\xc0") + 5
    large = {
        "a.png": png[:16] + struct.pack(">II", 60_000, 60_000) + png[24:],
        "a.jpg": jpeg[:size] + struct.pack(">HH", 60_000, 60_000) + jpeg[size + 4 :],
    }
    for name, content in large.items():
        for read in (read_pixels, read_size):
            with pytest.raises(DataError, match=r"truncated: its header declares 60000 x 60000 pixels"):
                read(save(tmp_path / name, content))


def test_pictures_above_the_limit_of_pillow_are_read(tmp_path):
    """Which is 179 million pixels."""
    Image.new("L", (20_000, 10_000), 3).save(tmp_path / "a.png", compress_level=1)
    assert read_size(tmp_path / "a.png") == (10_000, 20_000)
    assert read_pixels(tmp_path / "a.png").shape == (10_000, 20_000)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True, "quality": 1}])
def test_a_jpeg_of_one_colour_is_not_taken_for_truncated(tmp_path, options):
    white = encoded(Image.new("L", (4000, 3000), 255), "JPEG", **options)
    assert read_pixels(save(tmp_path / "a.jpg", white)).shape == (3000, 4000)


def test_the_size_of_a_jpeg_with_fill_bytes_and_comments(tmp_path):
    jpeg = encoded(Image.fromarray(GREY), "JPEG", comment="a" * 300)
    path = save(tmp_path / "a.jpg", jpeg[:2] + b"\xff\xff" + jpeg[2:])
    assert read_size(path) == GREY.shape
    assert read_pixels(path).shape == GREY.shape


def test_grey_of_colours():
    colours = np.array([[200, 100, 50, 7], [9, 9, 9, 255]], np.uint8)
    np.testing.assert_allclose(grey(colours), [0.299 * 200 + 0.587 * 100 + 0.114 * 50, 9], rtol=1e-6)
    np.testing.assert_array_equal(grey(colours[:, :2]), [200, 9])
    assert is_coloured(colours)
    assert not is_coloured(colours[1:])
    assert not is_coloured(colours[:, :2])


def write_planes(path):
    planes = np.ascontiguousarray(np.moveaxis(RGB16, -1, 0))
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate")


def write_with_thumbnail(path):
    with tifffile.TiffWriter(path) as file:
        file.write(RGB16, photometric="rgb")
        file.write(RGB[::4, ::4], photometric="rgb", subfiletype=1)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.png", lambda p: p.write_bytes(encoded(Image.fromarray(GREY), "PNG"))),
        ("a.jpg", lambda p: p.write_bytes(encoded(Image.fromarray(RGB), "JPEG"))),
        ("a.tif", lambda p: tifffile.imwrite(p, GREY16, photometric="minisblack")),
        ("planes.tif", write_planes),
        ("thumbnail.tif", write_with_thumbnail),
    ],
)
def test_the_size_is_that_of_the_pixels(tmp_path, name, write):
    write(tmp_path / name)
    assert read_size(tmp_path / name) == (21, 34) == read_pixels(tmp_path / name).shape[:2]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_the_size_of_a_damaged_file(tmp_path, name):
    save(tmp_path / name, b"nothing")
    with pytest.raises(DataError, match=rf"{name}: not a readable picture .*replace or remove it") as caught:
        read_size(tmp_path / name)
    assert "\n" not in str(caught.value)
