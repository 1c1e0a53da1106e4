"""Image files, converted to the form that a network was trained on.

The digits of a training set are light on a black background, and fill a certain part of their
frame. Users have dark ink somewhere on paper, in colours, of any size. Images of the user's own
datasets only change their size. Every change to an image is listed with the answer.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from nets.array_files import read_array
from nets.arrays import Shape
from nets.errors import InputError, one_of
from nets.framing import INK

EXPECTED = "a PNG, a JPEG or a .npy file"
WHITE = 255

LONGEST = 8192
"""Maximum pixels of an image in each direction. Larger ones are refused before they are decoded."""

ENOUGH = 2048
"""Larger images are shrunk before anything is computed from them, by an integer factor."""

Image.MAX_IMAGE_PIXELS = None  # Pillow would refuse images without their size, or with a warning


@dataclass(frozen=True)
class Picture:
    """One image as a network takes it.

    `pixels` has the network's shape, ``(height, width, channels)``, with 0..full_scale. `name` is
    the file's, with an index if it holds several. `changes` lists what was done to it.
    """

    name: str
    pixels: NDArray[Any]
    changes: tuple[str, ...] = ()


def read(path: Path, shape: Shape, full_scale: int, fill: float | None = None) -> list[Picture]:
    """Return the images of a file.

    A PNG or JPEG holds one, of any colour, and of up to `LONGEST` pixels in each direction. `fill`
    is the part of the frame that the ink of a training image takes, if these are digits; an image
    of another size is cropped to its ink and framed like that. Without it the image is only resized
    to the training images' size, and made grey if they are. A .npy file holds one or many images in
    the form of the training images: of the network's shape, without its last axis if there is one
    channel, or flat; pixels 0..full_scale. They are not changed. So are the rows of a table, which
    only a .npy file can hold.

    Raises InputError, naming the file, when it cannot be read or holds something else.
    """
    if path.suffix.lower() == ".npy":
        return _read_array(path, shape, full_scale)
    if len(shape) == 1:
        raise _wrong(path, "the model takes rows of a table", "a .npy file")
    with _readable(path), Image.open(path, formats=("PNG", "JPEG")) as opened:
        if max(opened.size) > LONGEST:
            width, height = opened.size
            expected = f"at most {LONGEST} in each direction"
            raise InputError(problem=f"got {width}x{height} pixels", expected=expected)
        ImageOps.exif_transpose(opened, in_place=True)  # loaded, and rotated as its EXIF data says
    image: Image.Image = opened
    if fill is None:
        pixels, changes = _resized_only(path, image, shape)
    else:
        pixels, changes = _as_a_digit(image, shape, fill)
    scaled = np.rint(pixels.astype(np.float64) * (full_scale / WHITE)).astype(np.uint8)
    return [Picture(str(path), scaled.reshape(shape), tuple(changes))]


def _read_array(path: Path, shape: Shape, full_scale: int) -> list[Picture]:
    with _readable(path), path.open("rb") as file:
        array = read_array(file)
    is_grey = len(shape) == 3 and shape[-1] == 1
    forms = list(dict.fromkeys([shape, (int(np.prod(shape)),), *([shape[:-1]] if is_grey else [])]))
    single = array.shape in forms
    if not single and array.shape[1:] not in forms:
        expected = f"one or more images of shape {one_of(forms)}"
        raise _wrong(path, f"got an array of shape {array.shape}", expected)
    if array.dtype.kind not in "uif" or not array.size:
        raise _wrong(path, f"got {array.size} pixels of {array.dtype}", "numbers")
    low, high = array.min(), array.max()
    if len(shape) == 1:
        if not (np.isfinite(low) and np.isfinite(high)):
            raise _wrong(path, "got NaN or infinity", "finite numbers")
    elif not (low >= 0 and high <= full_scale):  # NaN fails both
        raise _wrong(path, f"got pixels of {low} to {high}", f"0 to {full_scale}")
    elif array.dtype.kind == "f" and high <= 1 < full_scale:
        problem = f"got pixels of {low:g} to {high:g}, which would all be black"
        raise _wrong(path, problem, f"0 to {full_scale}, as in the training images")
    images = array.reshape(-1, *shape)
    if single:
        return [Picture(str(path), images[0])]
    return [Picture(f"{path}[{place}]", image) for place, image in enumerate(images)]


def _resized_only(
    path: Path, image: Image.Image, shape: Shape
) -> tuple[NDArray[np.uint8], list[str]]:
    """Return the pixels of an image for the user's own data, and the changes made."""
    height, width, channels = shape
    if channels not in (1, 3):
        raise _wrong(path, f"the model takes images of {channels} channels", "a .npy file")
    changes = []
    if channels == 1 and not image.mode.startswith(("1", "L", "I")):
        changes.append("made grey")
    pixels = np.asarray(_grey(image) if channels == 1 else image.convert("RGB"))
    if pixels.shape[:2] != (height, width):
        changes.append(f"{image.width}x{image.height} resized")
        pixels = _resized(pixels, height, width)
    return pixels, changes


def _as_a_digit(
    image: Image.Image, shape: Shape, fill: float
) -> tuple[NDArray[np.uint8], list[str]]:
    """Return the pixels of a digit as in the training images, and the changes made."""
    height, width, _ = shape
    changes = []
    pixels = np.asarray(_grey(image))
    edge, inside = border(pixels)
    ground = int(np.median(edge))
    if ground > inside.mean():
        pixels, ground = WHITE - pixels, WHITE - ground
        changes.append("inverted")
    if ground:
        # The background becomes black and white stays white; a training image is not changed.
        stretched = (pixels.astype(np.float64) - ground) * (WHITE / max(WHITE - ground, 1))
        pixels = np.rint(np.clip(stretched, 0, WHITE)).astype(np.uint8)
        changes.append(f"background darkened by {ground / WHITE:.0%}")
    if pixels.shape != (height, width):
        changes.append(f"cropped from {image.width}x{image.height}")
        pixels = _resized(_framed(pixels, height, width, fill), height, width)
    return pixels, changes


def border(pixels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Divide an image ``(height, width)`` into a frame of a sixteenth of its size, and the rest.

    >>> edge, inside = border(np.arange(9).reshape(3, 3))
    >>> edge, inside
    (array([0, 1, 2, 3, 5, 6, 7, 8]), array([4]))
    """
    inner = np.zeros(pixels.shape, bool)
    rows, columns = (max(1, size // 16) for size in pixels.shape)
    inner[rows:-rows, columns:-columns] = True
    if not inner.any():  # one or two pixels across
        inner[:] = True
        return pixels[inner], pixels[inner]
    return pixels[~inner], pixels[inner]


def _grey(image: Image.Image) -> Image.Image:
    """Return an image in 8-bit grey, shrunk if it is large.

    Transparent pixels get a contrasting background.
    """
    is_deep = image.mode.startswith("I")  # 16 bits
    if is_deep or ("A" not in image.mode and "transparency" not in image.info):
        return _shrunk(image, "L")
    pixels = np.asarray(_shrunk(image, "LA"))
    grey, alpha = (pixels[..., i].astype(np.float64) for i in (0, 1))
    share = alpha / WHITE
    is_light = (grey * share).sum() > 0.5 * WHITE * share.sum()
    ground = 0.0 if is_light else float(WHITE)
    return Image.fromarray(np.rint(grey * share + ground * (1 - share)).astype(np.uint8))


def _shrunk(image: Image.Image, mode: str) -> Image.Image:
    """Return an image in another mode, with at most `ENOUGH` pixels in each direction."""
    factor = math.ceil(max(image.size) / ENOUGH)
    if factor == 1:
        return _converted(image, mode)
    width, height = image.size
    small = Image.new(mode, (math.ceil(width / factor), math.ceil(height / factor)))
    rows = 64 * factor  # at a time, so that no second copy of the image is in memory
    for top in range(0, height, rows):
        part = image.crop((0, top, width, min(top + rows, height)))
        small.paste(_converted(part, mode).reduce(factor), (0, top // factor))
    return small


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    return image.convert(mode)


def _framed(pixels: NDArray[np.uint8], height: int, width: int, fill: float) -> NDArray[np.uint8]:
    """Return an image in a black frame with the proportions of ``(height, width)``.

    The ink's bounding box takes the part `fill` of the frame, and the ink's centre of mass is in
    the middle as far as the frame has room, which is how MNIST's images were made.
    """
    middle = [(size - 1) / 2 for size in pixels.shape]
    ink = np.argwhere(pixels > INK * pixels.max())
    if len(ink):
        (top, left), (bottom, right) = ink.min(axis=0), ink.max(axis=0)
        pixels = pixels[top : bottom + 1, left : right + 1]
        middle = [float(np.average(place, weights=pixels)) for place in np.indices(pixels.shape)]
    rows, columns = pixels.shape
    scale = max(rows / height, columns / width) / fill
    size = max(rows, round(height * scale)), max(columns, round(width * scale))
    if max(size) > LONGEST:  # only with a `fill` that digits do not have
        raise InputError("model.fill", fill, f"at least {ENOUGH / LONGEST}")
    framed = np.zeros(size, np.uint8)
    down, along = (
        int(np.clip(round((frame - 1) / 2 - centre), 0, frame - own))
        for frame, own, centre in zip(size, pixels.shape, middle, strict=True)
    )
    framed[down : down + rows, along : along + columns] = pixels
    return framed


def _resized(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return an image in another size.

    With Lanczos's filter, which Pillow widens when it shrinks an image, so that thin strokes become
    faint rather than vanish.
    """
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn errors in reading a file into an InputError that names it."""
    try:
        yield
    except InputError as error:
        raise error.with_key(str(path)) from error
    except OSError as error:
        raise _wrong(path, error.strerror or "not an image that can be read") from error
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _wrong(path, f"cannot be read: {reason:.200}") from error


def _wrong(path: Path, problem: str, expected: str = EXPECTED) -> InputError:
    return InputError(str(path), problem=problem, expected=expected)
