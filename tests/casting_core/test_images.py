"""The image gate reads every kind of picture rightly, says why it refuses one, and survives any bytes."""

import io
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from casting_core.images import Decoding, ImageGate, is_grey, read_image
from casting_core.synthetic import make_casting, render
from casting_core.types import Rejection

GATE = ImageGate()
DECODING = Decoding(side=64)
CASTING = render(make_casting(3, defective=True), size=96)

# 64 x 96 pixels whose four corners differ, so that any turn or mirror image shows: left is dark, the top brighter.
STEPS = np.zeros((64, 96), np.uint8)
STEPS[:32, :48], STEPS[:32, 48:], STEPS[32:, :48], STEPS[32:, 48:] = 60, 240, 0, 180


def encode(picture, kind="PNG", **options):
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def read(content, *, color="rgb", side=64, scaled=True, **gate):
    return read_image(content, gate=ImageGate(**gate), decoding=Decoding(color=color, side=side, scaled=scaled))


def pixels(content, **options):
    image = read(content, **options)
    assert isinstance(image, Image.Image), image
    return np.asarray(image)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows, *, bits, color, extra=b""):
    """A PNG by hand, for the kinds that Pillow does not write: rows are unsigned integers [H, W, channels]."""
    height, width = rows.shape[:2]
    data = b"".join(b"\0" + row.astype(f">u{bits // 8}").tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    start, end = chunk(b"IHDR", header), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + start + extra + chunk(b"IDAT", zlib.compress(data)) + end


def deeper(picture):
    """The same grey levels in 16 bits."""
    return picture.astype(np.uint16) * 257


FILES = {
    "jpeg": encode(CASTING, "JPEG"),
    "progressive jpeg": encode(CASTING, "JPEG", progressive=True),
    "png": encode(CASTING),
    "bmp": encode(CASTING, "BMP"),
    "tiff": encode(CASTING, "TIFF"),
    "lzw tiff": encode(CASTING, "TIFF", compression="tiff_lzw"),
    "jpeg in tiff": encode(CASTING, "TIFF", compression="jpeg"),
    "palette png": encode(Image.fromarray(CASTING).convert("RGB").quantize(32), transparency=0),
    "16-bit png": encode(deeper(CASTING)),
}


# What is refused


def bomb(side):
    """A PNG of side x side white pixels in a few kilobytes."""
    rows = zlib.compress(b"\0" + b"\xff" * (side // 8), 1)
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(zlib.decompress(rows)) for _ in range(side)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason", "detail"),
    [
        (b"", "truncated", "0 bytes"),
        (b"no picture at all", "not_an_image", "neither JPEG"),
        (b"GIF89a" + bytes(100), "not_an_image", "neither JPEG"),
        (encode(CASTING, "GIF"), "not_an_image", "neither JPEG"),
        (b"%PDF-1.7 scanned", "not_an_image", "neither JPEG"),
        (b"\xff\xd8\xff\xe0" + b"\x00\x04ab" + b"rubbish" * 20, "unreadable", ""),
        (FILES["png"].replace(struct.pack(">II", 96, 96), struct.pack(">II", 96, 97)), "unreadable", "header"),
        (FILES["bmp"][:30] + b"\x87" + FILES["bmp"][31:], "unreadable", "Unsupported BMP compression"),
        (FILES["png"][:60] + b"\x00\xff" * 9 + FILES["png"][78:], "unreadable", ""),
        (encode(CASTING[:63]), "too_small", "96 x 63 pixels; at least 64"),
        (encode(CASTING[:, :63]), "too_small", "63 x 96"),
        (encode(np.zeros((96, 96), np.uint8)), "blank", "from 0 to 0 only"),
        (encode(np.full((96, 96), 255, np.uint8), "JPEG"), "blank", "from 255 to 255"),
        (encode(np.random.default_rng(0).normal(60, 5, (256, 256)).astype(np.uint8)), "blank", "is the lens covered"),
        (encode(np.full((96, 96, 4), (255, 0, 0, 0), np.uint8)), "blank", "from 0 to 0"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_its_reason(content, reason, detail):
    rejection = read_image(content, gate=GATE, decoding=DECODING)
    assert isinstance(rejection, Rejection)
    assert rejection.reason == reason
    assert detail in rejection.detail


def test_the_limits_of_the_gate_are_its_settings():
    assert read(encode(CASTING), max_pixels=96 * 96 - 1).reason == "too_large"
    assert read(encode(CASTING), min_side=97).reason == "too_small"
    assert pixels(encode(CASTING), max_pixels=96 * 96, min_side=96).shape == (96, 96, 3)
    faint = np.full((96, 96), 100, np.uint8)
    faint[:48] = 106
    assert read(encode(faint), min_contrast=7).reason == "blank"
    assert pixels(encode(faint), min_contrast=6).max() == 106


@pytest.mark.parametrize("rows", [slice(0, 32), slice(32, 64), slice(64, 96)])
def test_contrast_anywhere_in_a_picture_is_enough(rows):
    dark = np.zeros((96, 96), np.uint8)
    dark[rows, 40:60] = 200
    assert pixels(encode(dark)).max() == 200


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (97, 211), (333, 65)])
def test_the_least_contrast_is_that_of_the_whole_picture_made_small(size):
    noise = np.random.default_rng(size[0]).normal(100, 9, size).astype(np.uint8)
    low, high = Image.fromarray(noise).resize((32, 32), Image.Resampling.BOX).getextrema()
    assert pixels(encode(noise), min_contrast=high - low).shape[:2] == size
    rejection = read(encode(noise), min_contrast=high - low + 1)
    assert rejection == Rejection(reason="blank", detail=f"grey levels from {low} to {high} only; is the lens covered?")


@pytest.mark.parametrize("kind", ["jpeg", "progressive jpeg", "png", "bmp", "tiff", "16-bit png"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_a_file_cut_short_is_truncated(kind, share):
    content = FILES[kind]
    assert read(content[: int(len(content) * share)]).reason == "truncated"


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("length", [1, 2, 3, 8, 12, 30, 70])
def test_a_file_cut_within_its_header_is_never_taken_for_a_picture(kind, length):
    assert read(FILES[kind][:length]).reason in {"truncated", "unreadable", "not_an_image"}


# What is read


@pytest.mark.parametrize("color", ["rgb", "grey"])
@pytest.mark.parametrize(
    ("content", "tolerance"),
    [
        pytest.param(encode(STEPS), 0, id="8-bit grey"),
        pytest.param(encode(STEPS, "BMP"), 0, id="grey BMP"),
        pytest.param(encode(np.dstack([STEPS] * 3)), 0, id="RGB"),
        pytest.param(encode(STEPS, "JPEG", quality=95), 3, id="grey JPEG"),
        pytest.param(encode(np.dstack([STEPS] * 3), "JPEG", quality=95), 3, id="RGB JPEG"),
        pytest.param(encode(Image.fromarray(np.dstack([STEPS] * 3)).convert("CMYK"), "JPEG"), 6, id="CMYK JPEG"),
        pytest.param(encode(Image.fromarray(np.dstack([STEPS] * 3)).convert("CMYK"), "TIFF"), 0, id="CMYK TIFF"),
        pytest.param(encode(Image.fromarray(np.dstack([STEPS] * 3)).convert("YCbCr"), "TIFF"), 1, id="YCbCr TIFF"),
        pytest.param(encode(Image.fromarray(np.dstack([STEPS] * 3)).quantize(8)), 0, id="palette"),
        pytest.param(encode(Image.fromarray(np.dstack([STEPS] * 3)).quantize(8), "BMP"), 0, id="palette BMP"),
        pytest.param(encode(deeper(STEPS)), 0, id="16-bit PNG"),
        pytest.param(encode(deeper(STEPS), "TIFF"), 0, id="16-bit TIFF"),
        pytest.param(encode(deeper(STEPS).astype(">u2"), "TIFF"), 0, id="16-bit TIFF, big end first"),
        pytest.param(encode(deeper(STEPS).astype(np.int32), "TIFF"), 0, id="32-bit TIFF"),
        pytest.param(encode(STEPS.astype(np.float32), "TIFF"), 0, id="float TIFF"),
        pytest.param(png(deeper(np.dstack([STEPS] * 3)), bits=16, color=2), 0, id="16-bit RGB PNG"),
        pytest.param(png(deeper(np.dstack([STEPS, STEPS | 255])), bits=16, color=4), 0, id="16-bit grey and alpha PNG"),
        pytest.param(encode(np.dstack([STEPS, STEPS | 255])), 0, id="grey and alpha"),
        pytest.param(encode(np.dstack([STEPS, STEPS, STEPS, STEPS | 255]), "TIFF"), 0, id="RGBA TIFF"),
        pytest.param(encode(STEPS, "TIFF", compression="tiff_lzw"), 0, id="LZW TIFF"),
    ],
)
def test_the_same_grey_levels_are_read_from_every_pixel_format(content, tolerance, color):
    found = pixels(content, color=color)
    assert found.dtype == np.uint8
    assert found.shape == (STEPS.shape if color == "grey" else (*STEPS.shape, 3))
    expected = STEPS if color == "grey" else np.dstack([STEPS] * 3)
    # JPEG rings a little at the edges.
    inside = np.zeros(STEPS.shape, bool)
    inside[8:24, 8:40] = inside[8:24, 56:88] = inside[40:56, 8:40] = inside[40:56, 56:88] = True
    assert np.abs(found.astype(int) - expected)[inside].max() <= tolerance


def test_colour_is_kept_in_rgb_and_becomes_luminance_in_grey():
    colours = np.zeros((64, 96, 3), np.uint8)
    colours[:, :48], colours[:, 48:] = (200, 40, 10), (20, 130, 250)
    for content, tolerance in (
        (encode(colours), 0),
        (png(deeper(colours), bits=16, color=2), 0),
        (encode(colours, "JPEG", quality=95, subsampling=0), 4),
        (encode(Image.fromarray(colours).quantize(4)), 0),
    ):
        found = pixels(content).astype(int)
        assert np.abs(found[32, 20] - colours[32, 20]).max() <= tolerance
        assert np.abs(found[32, 70] - colours[32, 70]).max() <= tolerance
        luminance = colours[32, [20, 70]] @ [0.299, 0.587, 0.114]
        assert np.abs(pixels(content, color="grey")[32, [20, 70]] - luminance).max() <= 2 + tolerance


def test_one_bit_is_black_and_white():
    bits = STEPS > 100
    for kind in ("PNG", "BMP", "TIFF"):
        assert (pixels(encode(Image.fromarray(bits), kind), color="grey") == bits * 255).all()


def test_what_is_transparent_becomes_black():
    alpha = np.full_like(STEPS, 255)
    alpha[:, 48:] = 0
    alpha[32:, :48] = 128
    clear = [
        encode(np.dstack([STEPS, alpha])),
        encode(np.dstack([STEPS, STEPS, STEPS, alpha])),
        encode(np.dstack([STEPS, STEPS, STEPS, alpha]), "TIFF"),
    ]
    for content in clear:
        expected = np.round(STEPS * (alpha / 255))
        assert np.abs(pixels(content, color="grey") - expected).max() <= 1
    one_level = [
        encode(STEPS, transparency=240),
        encode(np.dstack([STEPS] * 3), transparency=(240, 240, 240)),
        encode(Image.fromarray(STEPS).convert("P"), transparency=240),
    ]
    for content in one_level:
        assert (pixels(content)[..., 0] == np.where(STEPS == 240, 0, STEPS)).all()


TURNS = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.T,
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p.T, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", TURNS)
def test_a_picture_is_turned_upright_as_its_exif_says(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = pixels(encode(STEPS, kind, exif=exif), color="grey")
    expected = TURNS[orientation](STEPS)
    assert found.shape == expected.shape
    assert np.median(np.abs(found.astype(int) - expected)) <= 2


def test_16_bit_pictures_are_turned_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert (pixels(encode(deeper(STEPS), exif=exif), color="grey") == np.rot90(STEPS, -1)).all()


@pytest.mark.parametrize(
    "exif",
    [
        pytest.param(b"Exif\0\0" + b"rubbish" * 10, id="no EXIF at all"),
        pytest.param(b"Exif\0\0II*\0\xff\xff\xff\xff", id="pointing nowhere"),
        pytest.param(
            b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\x01\0\0\0\xff\0\0\0" * 3, id="too many tags"
        ),
        # The camera's maker as a number: Pillow reads that, and fails to write it again.
        pytest.param(
            b"Exif\0\0II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\x0f\x01\x0b\0\x01\0\0\0x\0\0\0\0\0\0\0",
            id="that cannot be written again",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*EXIF:UserWarning", "ignore:Truncated File Read:UserWarning")
def test_a_picture_with_damaged_exif_is_still_judged(exif):
    assert pixels(encode(STEPS, "JPEG", exif=exif), color="grey").size == STEPS.size


@pytest.mark.parametrize("kind", FILES)
def test_what_was_read_can_be_used_after_the_file_is_closed(kind):
    image = read(FILES[kind], side=32)
    assert np.asarray(image.resize((8, 8))).std() > 5
    assert image.rotate(90).size == image.size[::-1]


# Scaled decoding


@pytest.mark.parametrize("color", ["rgb", "grey"])
@pytest.mark.parametrize(("side", "decoded"), [(600, 600), (301, 600), (300, 300), (150, 150), (100, 150), (32, 75)])
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_covers_the_side(side, decoded, color):
    content = encode(render(make_casting(5, defective=False), size=600), "JPEG", quality=90)
    image = read(content, color=color, side=side)
    assert image.size == (decoded, decoded)
    assert image.mode == ("L" if color == "grey" else "RGB")


def test_the_shorter_side_decides_how_far_a_long_picture_is_scaled():
    content = encode(render(make_casting(5, defective=False), size=512)[:256], "JPEG")
    assert read(content, side=128).size == (256, 128)


def test_scaled_decoding_stays_close_to_full_decoding():
    content = encode(render(make_casting(5, defective=True), size=600), "JPEG", quality=90)
    full, scaled = (read(content, color="grey", side=150, scaled=scaled) for scaled in (False, True))
    assert (full.size, scaled.size) == ((600, 600), (150, 150))
    difference = np.asarray(full.resize((150, 150), Image.Resampling.BOX), float) - np.asarray(scaled, float)
    assert np.abs(difference).mean() < 1
    assert np.abs(difference).max() < 12


def test_scaled_decoding_turns_pictures_upright_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encode(np.repeat(np.repeat(STEPS, 4, 0), 4, 1), "JPEG", exif=exif)
    found = pixels(content, color="grey")
    assert found.shape == (96, 64)
    assert np.median(np.abs(found.astype(int) - np.rot90(STEPS, -1))) <= 2


# What costs nothing


def cost(content, **options):
    """Outcome, Pillow's pixel buffers, peak of Python's memory, and seconds of one reading."""
    Image.core.reset_stats()
    tracemalloc.start()
    started = time.perf_counter()
    outcome = read(content, **options)
    seconds = time.perf_counter() - started
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return outcome, Image.core.get_stats()["new_count"], peak, seconds


def test_a_decompression_bomb_costs_nothing():
    content = bomb(8_000)
    assert len(content) < 100_000
    outcome, buffers, peak, seconds = cost(content)
    assert outcome == Rejection(reason="too_large", detail="8000 x 8000 pixels; at most 50000000 are allowed")
    assert buffers == 0
    assert peak < len(content) + 1_000_000
    # Had it been decoded, it would have cost many times as much.
    outcome, buffers, _, decoded_seconds = cost(content, max_pixels=64_000_000)
    assert outcome.reason == "blank"
    assert buffers > 0
    assert seconds < decoded_seconds / 5


@pytest.mark.parametrize("side", [12_000, 100_000, 2_000_000])
@pytest.mark.parametrize("kind", ["png", "bmp", "jpeg", "tiff"])
def test_a_header_that_claims_too_many_pixels_is_refused_unread(side, kind):
    side = min(side, 65_500) if kind == "jpeg" else side
    content = {
        "png": lambda: (
            FILES["png"][:8] + chunk(b"IHDR", struct.pack(">II", side, side) + FILES["png"][24:29]) + FILES["png"][33:]
        ),
        "bmp": lambda: FILES["bmp"][:18] + struct.pack("<ii", side, side) + FILES["bmp"][26:],
        "jpeg": lambda: FILES["jpeg"].replace(struct.pack(">HH", 96, 96), struct.pack(">HH", side, side), 1),
        "tiff": lambda: claim_in_tiff(FILES["tiff"], side),
    }[kind]()
    outcome, buffers, peak, _ = cost(content)
    assert outcome.reason == "too_large"
    assert buffers == 0
    assert peak < 1_000_000


def claim_in_tiff(content, side):
    changed = bytearray(content)
    (start,) = struct.unpack_from("<I", content, 4)
    for entry in range(struct.unpack_from("<H", content, start)[0]):
        place = start + 2 + 12 * entry
        if struct.unpack_from("<H", content, place)[0] in (256, 257):
            struct.pack_into("<HII", changed, place + 2, 4, 1, side)
    return bytes(changed)


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_a_bomb_in_the_text_of_a_picture_costs_nothing(kind):
    text = chunk(kind, b"x\0\0" + zlib.compress(bytes(100_000_000), 1))
    content = png(STEPS[..., None], bits=8, color=0, extra=text)
    outcome, _, peak, _ = cost(content)
    assert outcome.reason == "unreadable"
    assert peak < 20_000_000


# Any bytes


def outcome_of(content):
    """Read in all ways; each gives a usable picture or a rejection."""
    for color in ("rgb", "grey"):
        outcome = read(content, color=color, side=32)
        if isinstance(outcome, Image.Image):
            assert outcome.mode == ("L" if color == "grey" else "RGB")
            assert min(outcome.size) > 0
            outcome.resize((4, 4))
        else:
            assert isinstance(outcome, Rejection)


@settings(deadline=None)
@given(start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"MM\0*"]), rest=st.binary())
def test_no_bytes_raise(start, rest):
    outcome_of(start + rest)


@settings(deadline=None, max_examples=60)
@given(
    damage=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), max_size=8),
    end=st.one_of(st.none(), st.floats(0, 1)),
)
@pytest.mark.parametrize("kind", FILES)
def test_no_damaged_file_raises(kind, damage, end):
    content = bytearray(FILES[kind])
    for place, written in damage:
        start = int(place * len(content))
        content[start : start + len(written)] = written
    outcome_of(bytes(content if end is None else content[: int(end * len(content))]))


# Grey or colour


@pytest.mark.parametrize(
    ("picture", "grey"),
    [
        (Image.fromarray(CASTING), True),
        (Image.fromarray(CASTING).convert("RGB"), True),
        (Image.fromarray(CASTING).convert("CMYK"), True),
        (Image.fromarray(deeper(CASTING)), True),
        (Image.fromarray(CASTING > 100), True),
        (Image.fromarray(CASTING.astype(np.float32)), True),
        (Image.fromarray(np.dstack([CASTING, CASTING, CASTING // 2])), False),
    ],
)
def test_a_picture_is_grey_if_its_channels_agree(picture, grey):
    assert is_grey(picture) is grey


def test_a_little_noise_or_a_few_coloured_pixels_leave_a_picture_grey():
    channels = np.dstack([CASTING // 2] * 3)
    channels[::2, ::2, 0] += 2
    assert is_grey(Image.fromarray(channels))
    channels[:3, :3] = (200, 0, 0)
    assert is_grey(Image.fromarray(channels))
    channels[:, :2] = (200, 0, 0)
    assert not is_grey(Image.fromarray(channels))
