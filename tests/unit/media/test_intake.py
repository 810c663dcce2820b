import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pi_heif
import pillow_heif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from inference.domain.errors import EngineError, UserError
from inference.media.colour_profiles import profile_of
from inference.media.image_intake import clean_image
from inference.media.results import CleanImage, ImageLimits

LIMITS = ImageLimits()

pillow_heif.register_heif_opener()  # can write HEIC, which what reads it here cannot
pi_heif.register_heif_opener(thumbnails=False, depth_images=False, decode_threads=1)


def encoded(image, kind, **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def halves(left=(200, 30, 30), right=(30, 30, 200), size=(60, 40)):
    image = Image.new("RGB", size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


@pytest.fixture
def clean(tmp_path):
    def run(data, limits=LIMITS):
        source, target = tmp_path / "source", tmp_path / "clean.png"
        source.write_bytes(data)
        result = clean_image(source, target, limits)
        assert sorted(tmp_path.iterdir()) == [target, source]
        with Image.open(target) as image:
            assert (image.format, image.mode) == ("PNG", "RGB")
            assert image.size == (result.width, result.height)
            return result, np.asarray(image)

    return run


@pytest.fixture
def refusal(tmp_path):
    def run(data, limits=LIMITS):
        source, target = tmp_path / "source", tmp_path / "clean.png"
        source.write_bytes(data)
        with pytest.raises(UserError) as caught:
            clean_image(source, target, limits)
        assert list(tmp_path.iterdir()) == [source]
        return caught.value

    return run


def near(pixel, colour, tolerance=6):
    return np.abs(pixel.astype(int) - colour).max() <= tolerance


KINDS = ["PNG", "JPEG", "WEBP", "GIF", "HEIF", "AVIF"]


@pytest.mark.parametrize("kind", KINDS)
def test_these_formats_are_taken(clean, kind):
    result, pixels = clean(encoded(halves(), kind))
    assert result == CleanImage(width=60, height=40, format=kind.lower())
    assert near(pixels[20, 10], (200, 30, 30), 12)
    assert near(pixels[20, 50], (30, 30, 200), 12)


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "ICO", "PDF", "EPS", "PPM", "TGA"])
def test_other_formats_are_not_images_here(refusal, kind):
    assert refusal(encoded(halves(), kind)).code == "image.not_an_image"


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8\xff", b"<svg xmlns='x'/>", bytes(1000)])
def test_what_is_no_image_is_refused(refusal, data):
    assert refusal(data).code == "image.not_an_image"


@pytest.mark.cases(6)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
def test_half_a_file_is_called_incomplete(refusal, kind, share):
    rng = np.random.default_rng(1)
    noise = Image.fromarray(rng.integers(0, 255, (200, 200, 3)).astype(np.uint8))
    data = encoded(noise, kind)
    assert refusal(data[: max(12, int(len(data) * share))]).code == "image.truncated"


def test_large_files_are_refused_unread(refusal):
    error = refusal(bytes(3 * 2**20), ImageLimits(file_bytes=2 * 2**20))
    assert (error.code, error.params) == ("image.too_large", {"limit_mb": 2})


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width, height):
    """A tiny file that says that it is huge."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data",
    [
        png_claiming(8000, 6251),
        png_claiming(10_000, 10_000),  # where Pillow warns
        png_claiming(60_000, 60_000),  # where Pillow raises
        b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes([0, 0, 0]) + b"," + bytes(20),
    ],
    ids=["just above", "warning", "bomb", "gif"],
)
def test_bombs_are_refused_by_what_they_declare(refusal, data):
    error = refusal(data)
    assert (error.code, error.params) == ("image.too_many_pixels", {"limit_megapixels": 50})


def test_the_pixel_limit_itself_is_allowed(clean):
    assert clean(encoded(halves(), "PNG"), ImageLimits(pixels=2400))[0].width == 60


@pytest.mark.parametrize("size", [(15, 100), (100, 15), (20, 4000)])
def test_specks_and_strips_are_too_small(refusal, size):
    error = refusal(encoded(Image.new("RGB", size), "PNG"))
    assert (error.code, error.params) == ("image.too_small", {"min_side": 16})


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.cases(1)
def test_large_pictures_are_reduced(clean, kind):
    result, pixels = clean(encoded(halves(size=(5000, 2500)), kind))
    assert (result.width, result.height) == (2048, 1024)
    assert near(pixels[500, 500], (200, 30, 30))


def test_the_first_frame_of_an_animation_counts(clean):
    first, second = halves(), halves(left=(0, 255, 0), right=(0, 255, 0))
    for kind in ("GIF", "WEBP", "PNG"):
        data = encoded(first, kind, save_all=True, append_images=[second] * 3, duration=50)
        _, pixels = clean(data)
        assert near(pixels[20, 10], (200, 30, 30), 12), kind


@pytest.mark.cases(6)
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF", "AVIF"])
def test_pictures_stand_upright(clean, orientation, kind):
    """The stored picture is the upright one undone, so cleaning must give it back."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = halves()
    upright.paste((240, 240, 240), (0, 0, 20, 10))
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    result, pixels = clean(encoded(stored, kind, exif=exif.tobytes()))
    assert (result.width, result.height) == (60, 40)
    assert np.abs(pixels.astype(int) - np.asarray(upright)).mean() < 6


def test_nothing_but_pixels_is_kept(clean, tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    exif[0x0112] = 1
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "secret name")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    clean(encoded(halves(), "PNG", exif=exif, pnginfo=notes, icc_profile=profile, dpi=(72, 72)))

    data, kinds, position = (tmp_path / "clean.png").read_bytes(), set(), 8
    while position < len(data):
        length = int.from_bytes(data[position : position + 4])
        kinds.add(data[position + 4 : position + 8])
        position += length + 12
    assert kinds == {b"IHDR", b"IDAT", b"IEND"}


def test_transparency_turns_white(clean):
    picture = Image.new("RGBA", (40, 40), (200, 0, 0, 0))
    picture.paste((0, 0, 200, 128), (20, 0, 40, 40))
    for kind in ("PNG", "WEBP", "HEIF", "AVIF"):
        _, pixels = clean(encoded(picture, kind, **({"lossless": True} if kind == "WEBP" else {})))
        assert near(pixels[20, 10], (255, 255, 255)), kind
        assert near(pixels[20, 30], (127, 127, 227)), kind


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_palette_entry_turns_white(clean, kind):
    picture = Image.new("P", (40, 40), 0)
    picture.putpalette([10, 20, 30, 200, 0, 0])
    picture.paste(1, (20, 0, 40, 40))
    _, pixels = clean(encoded(picture, kind, transparency=0))
    assert near(pixels[20, 10], (255, 255, 255))
    assert near(pixels[20, 30], (200, 0, 0))


def test_grey_with_a_transparent_level_turns_white(clean):
    picture = Image.new("L", (40, 40), 10)
    picture.paste(100, (20, 0, 40, 40))
    _, pixels = clean(encoded(picture, "PNG", transparency=10))
    assert near(pixels[20, 10], (255, 255, 255))
    assert near(pixels[20, 30], (100, 100, 100))


def test_sixteen_bit_grey_keeps_its_shades(clean):
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (32, 1))
    _, pixels = clean(encoded(Image.fromarray(ramp), "PNG"))
    assert np.abs(pixels[10, :, 0].astype(int) - ramp[10] // 256).max() <= 1


def test_sixteen_bit_colour_keeps_its_shades(clean):
    ramp = np.linspace(0, 65535, 64).astype(">u2")
    row = b"\0" + np.stack([ramp, ramp[::-1], ramp // 2], axis=-1).astype(">u2").tobytes()
    header = struct.pack(">IIBBBBB", 64, 32, 16, 2, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(row * 32))
    _, pixels = clean(b"\x89PNG\r\n\x1a\n" + chunks + png_chunk(b"IEND", b""))
    assert np.abs(pixels[10, :, 0].astype(int) - ramp // 256).max() <= 1


def test_printing_colours_become_screen_colours(clean):
    for colour in ((200, 30, 30), (30, 160, 60), (250, 250, 250)):
        picture = Image.new("RGB", (40, 40), colour).convert("CMYK")
        assert near(clean(encoded(picture, "JPEG", quality=95))[1][20, 20], colour, 8)


def test_one_bit_pictures_are_taken(clean):
    picture = Image.new("1", (40, 40), 1)
    assert near(clean(encoded(picture, "PNG"))[1][20, 20], (255, 255, 255))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "HEIF", "AVIF"])
def test_an_embedded_colour_profile_is_applied(clean, kind):
    lab_like = Image.new("RGB", (40, 40), (120, 90, 60))
    linear = _profile_with_gamma_one()
    _, pixels = clean(encoded(lab_like, kind, icc_profile=linear))
    expected = [round(255 * (1.055 * (v / 255) ** (1 / 2.4) - 0.055)) for v in (120, 90, 60)]
    assert near(pixels[20, 20], expected, 4)


@pytest.mark.parametrize("kind", ["JPEG", "HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_wide_colours_of_phones_become_srgb(clean, kind, orientation):
    """Display P3, as phones write it, upright or turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.new("RGB", (60, 40), (200, 100, 50))
    _, pixels = clean(encoded(picture, kind, icc_profile=_display_p3(), exif=exif.tobytes()))
    assert near(pixels[20, 20], (215, 93, 31), 5)


XY = {
    "sRGB": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    "P3": ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    "BT.2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
}
"""Chromaticities of the primaries; all have the white D65."""


def _to_xyz(primaries):
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in XY[primaries]]).T
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    return columns * np.linalg.solve(columns, white)


def _in_srgb(colour, primaries):
    """What a colour of other primaries is in sRGB, by the definition of both."""
    value = np.array(colour) / 255
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    light = np.clip(np.linalg.solve(_to_xyz("sRGB"), _to_xyz(primaries) @ light), 0, 1)
    value = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return [round(255 * each) for each in value]


def _with_code(picture, kind, primaries, curve):
    """The picture in a file that names its colours by numbers, without a profile."""
    if kind == "PNG":
        chunk = PngImagePlugin.PngInfo()
        chunk.add(b"cICP", bytes([primaries, curve, 0, 1]))
        return encoded(picture, kind, pnginfo=chunk)
    if kind == "AVIF":
        data = encoded(picture, kind, quality=100, subsampling="4:4:4")
        plain, named = (b"colrnclx" + bytes([0, p, 0, c]) for p, c in ((1, 13), (primaries, curve)))
        assert data.count(plain) == 1
        return data.replace(plain, named)
    code = {"color_primaries": primaries, "transfer_characteristics": curve}
    code |= {"matrix_coefficients": 6, "full_range_flag": 1}
    return encoded(picture, kind, quality=100, chroma="444", **code)


@pytest.mark.parametrize("kind", ["PNG", "HEIF", "AVIF"])
@pytest.mark.parametrize(
    ("code", "primaries"),
    [
        ((12, 13), "P3"),
        ((12, 1), "P3"),
        ((9, 13), "BT.2020"),
        ((1, 13), "sRGB"),
        ((5, 13), "sRGB"),
    ],
)
@pytest.mark.parametrize("colour", [(200, 100, 50), (60, 160, 90), (128, 128, 128)])
def test_colours_that_a_file_names_by_numbers_become_srgb(clean, kind, code, primaries, colour):
    data = _with_code(Image.new("RGB", (60, 40), colour), kind, *code)
    assert near(clean(data)[1][20, 20], _in_srgb(colour, primaries), 4)


def test_a_picture_in_hdr_is_taken_as_it_is(clean):
    data = _with_code(Image.new("RGB", (60, 40), (200, 100, 50)), "PNG", 12, 16)
    assert near(clean(data)[1][20, 20], (200, 100, 50), 0)


@pytest.mark.parametrize("primaries", [1, 12])
def test_in_a_png_the_numbers_count_more_than_the_profile(clean, primaries):
    chunk = PngImagePlugin.PngInfo()
    chunk.add(b"cICP", bytes([primaries, 13, 0, 1]))
    picture = Image.new("RGB", (60, 40), (200, 100, 50))
    data = encoded(picture, "PNG", pnginfo=chunk, icc_profile=_profile_with_gamma_one())
    expected = _in_srgb((200, 100, 50), "P3" if primaries == 12 else "sRGB")
    assert near(clean(data)[1][20, 20], expected, 4)


@pytest.mark.parametrize("code", [(2, 13), (22, 13), (12, 16)])
def test_in_a_png_the_profile_counts_more_than_numbers_that_say_nothing(clean, code):
    chunk = PngImagePlugin.PngInfo()
    chunk.add(b"cICP", bytes([*code, 0, 1]))
    profile = _profile_with_gamma_one()
    picture = Image.new("RGB", (60, 40), (200, 100, 50))
    _, expected = clean(encoded(picture, "PNG", icc_profile=profile))
    _, pixels = clean(encoded(picture, "PNG", pnginfo=chunk, icc_profile=profile))
    assert near(pixels[20, 20], expected[20, 20], 0)


@pytest.mark.parametrize("kind", ["PNG", "AVIF"])
@pytest.mark.parametrize("size", [0, 1, 7, 2**31])
def test_a_code_in_a_box_of_a_wrong_size_breaks_nothing(kind, size):
    data = bytearray(_with_code(halves(), kind, 12, 13))
    name = b"cICP" if kind == "PNG" else b"colr"
    at = data.index(name) - 4
    data[at : at + 4] = size.to_bytes(4)
    image = Image.new("RGB", (1, 1))
    image.format = kind
    profile_of(image, io.BytesIO(bytes(data)))


def _display_p3():
    """The profile of sRGB with the primaries of Display P3 (adapted to D50) in place of its own."""
    primaries = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for index in range(int.from_bytes(profile[128:132])):
        entry = 132 + index * 12
        if colour := primaries.get(bytes(profile[entry : entry + 4])):
            offset = int.from_bytes(profile[entry + 4 : entry + 8]) + 8
            values = [round(value * 65536).to_bytes(4, signed=True) for value in colour]
            profile[offset : offset + 12] = b"".join(values)
    return bytes(profile)


def _profile_with_gamma_one():
    """sRGB's primaries with linear light: its three tone curves replaced by the identity."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    identity = b"curv" + bytes(8)
    for index in range(int.from_bytes(profile[128:132])):
        entry = 132 + index * 12
        if bytes(profile[entry : entry + 4]) in {b"rTRC", b"gTRC", b"bTRC"}:
            offset = int.from_bytes(profile[entry + 4 : entry + 8])
            profile[offset : offset + len(identity)] = identity
            profile[entry + 8 : entry + 12] = len(identity).to_bytes(4)
    return bytes(profile)


def test_a_broken_exif_block_is_ignored(clean):
    exif = b"Exif\0\0" + b"\xff" * 30
    for kind in ("JPEG", "PNG", "WEBP"):
        _, pixels = clean(encoded(halves(), kind, exif=exif))
        assert near(pixels[20, 10], (200, 30, 30), 12), kind


def test_a_broken_colour_profile_is_ignored(clean):
    _, pixels = clean(encoded(halves(), "PNG", icc_profile=b"junk" * 50))
    assert near(pixels[20, 10], (200, 30, 30))


def test_a_full_disk_is_not_the_persons_fault(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(encoded(halves(), "PNG"))
    (tmp_path / "clean.png.part").symlink_to("/dev/full")
    with pytest.raises(EngineError) as caught:
        clean_image(source, tmp_path / "clean.png", LIMITS)
    assert caught.value.code == "disk.full"
    assert list(tmp_path.iterdir()) == [source]


def _samples():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "words"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    extras = {"exif": exif, "icc_profile": profile}
    picture = halves()
    return [
        *(encoded(picture, kind, **extras) for kind in ("PNG", "JPEG", "WEBP", "HEIF", "AVIF")),
        encoded(picture, "GIF", save_all=True, append_images=[picture.rotate(180)]),
        encoded(picture.convert("CMYK"), "JPEG"),
        encoded(picture.quantize(8), "PNG", transparency=2),
    ]


@given(
    data=st.sampled_from(_samples()),
    damage=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=6),
    cut=st.none() | st.integers(0, 4000),
)
@settings(
    max_examples=2 * settings.default.max_examples,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_damaged_files_end_in_a_picture_or_a_refusal(tmp_path, data, damage, cut):
    broken = bytearray(data[:cut])
    for position, value in damage:
        if position < len(broken):
            broken[position] = value
    (tmp_path / "source").write_bytes(broken)
    with suppress(UserError):
        clean_image(tmp_path / "source", tmp_path / "clean.png", LIMITS)
