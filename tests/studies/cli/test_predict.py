"""Digits in image files: what is made of a file, and what the command answers."""

import json
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from programs import run_to_end

from nets import data, objective
from nets.errors import InputError
from nets.framing import fill_of
from nets.model_source import probabilities, restore
from nets.settings import Settings
from studies.cli.image_files import Picture, read
from studies.cli.main import main
from studies.cli.predict import answer
from tracking.models import registry
from tracking.runs.content import log_model
from tracking.store import names
from tracking.store.store import open_store, prepare_mlflow

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload``")  # SQLAlchemy's to MLflow

SHAPE, FULL_SCALE = (8, 8, 1), 16


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", data.default_folder())


@pytest.fixture(scope="module")
def model(digits):
    """A model that is right about most digits."""
    settings = Settings(hidden=(32,), epochs=12, learning_rate=0.01, validation=0)
    return objective(settings, digits, lambda epoch: None).model


def grey(image, full_scale=FULL_SCALE):
    """A training image as 8-bit pixels."""
    return np.rint(image[..., 0] * (255 / full_scale)).astype(np.uint8)


def on_paper(image, size=160, page=(300, 400), place=(40, 90)):
    """A training image as dark ink of some size somewhere on a light page."""
    ink = np.asarray(Image.fromarray(grey(image)).resize((size, size), Image.Resampling.BICUBIC))
    paper = np.full(page, 250.0)
    paper[place[0] : place[0] + size, place[1] : place[1] + size] -= ink * (220 / 255)
    return Image.fromarray(paper.clip(0, 255).astype(np.uint8))


def read_one(path, fill=1.0, shape=SHAPE):
    (picture,) = read(Path(path), shape, FULL_SCALE, fill)
    return picture


# What is made of a file


def test_a_training_image_saved_as_png_is_read_unchanged(digits, tmp_path):
    for place, image in enumerate(digits.test_images[:50]):
        path = tmp_path / f"{place}.png"
        Image.fromarray(grey(image)).save(path)
        picture = read_one(path)
        np.testing.assert_array_equal(picture.pixels, image)
        assert picture.changes == ()


def test_dark_ink_on_light_paper_becomes_light_on_black(digits, tmp_path):
    image = digits.test_images[1]
    Image.fromarray(255 - grey(image)).save(tmp_path / "paper.png")
    picture = read_one(tmp_path / "paper.png")
    np.testing.assert_array_equal(picture.pixels, image)
    assert picture.changes == ("inverted",)


def test_grey_ground_becomes_black_and_is_listed(tmp_path):
    pixels = np.full((8, 8), 51, np.uint8)
    pixels[2:6, 3:5] = 255
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    picture = read_one(tmp_path / "grey.png")
    assert picture.pixels[0, 0, 0] == 0
    assert picture.pixels[3, 3, 0] == FULL_SCALE
    assert picture.changes == ("background darkened by 20%",)


def test_digit_somewhere_on_a_page_is_framed_as_in_training(digits, model, tmp_path):
    network, full_scale, _ = restore(model.arrays)
    pictures = []
    for place, image in enumerate(digits.test_images[:100]):
        path = tmp_path / f"{place}.jpg"
        on_paper(image, size=100 + place, place=(place, 199 - place)).save(path, quality=90)
        pictures.append(read_one(path))
    assert pictures[0].changes == ("inverted", "background darkened by 2%", "cropped from 400x300")
    answers = probabilities(network, full_scale, np.stack([p.pixels for p in pictures]))
    labels = digits.test_labels[:100]
    own = probabilities(network, full_scale, digits.test_images[:100])
    right = (answers.argmax(axis=1) == labels).mean()
    assert right > (own.argmax(axis=1) == labels).mean() - 0.1


def test_ink_is_framed_as_large_as_in_the_training_images(tmp_path):
    page = np.zeros((200, 300), np.uint8)
    page[20:120, 200:240] = 255
    Image.fromarray(page).save(tmp_path / "bar.png")
    (picture,) = read(tmp_path / "bar.png", (28, 28, 1), 255, fill=20 / 28)
    assert fill_of(picture.pixels[np.newaxis]) == pytest.approx(20 / 28, abs=1 / 28)
    rows, columns = np.nonzero(picture.pixels[..., 0] > 100)
    assert (rows.mean(), columns.mean()) == (pytest.approx(13.5, abs=1), pytest.approx(13.5, abs=1))
    assert np.ptp(columns) + 1 == pytest.approx(8, abs=1)  # its proportions are kept


def test_centre_of_mass_stands_in_the_middle_where_there_is_room(tmp_path):
    page = np.zeros((100, 100), np.uint8)
    page[10:90, 20:30] = page[70:90, 20:80] = 255  # an L: most of its ink is below and left
    Image.fromarray(page).save(tmp_path / "l.png")
    (picture,) = read(tmp_path / "l.png", (28, 28, 1), 255, fill=0.5)
    weights = picture.pixels[..., 0] / picture.pixels.sum()
    centre = (weights * np.indices((28, 28))).sum(axis=(1, 2))
    np.testing.assert_allclose(centre, 13.5, atol=0.6)


def test_an_image_of_the_users_own_data_is_only_resized(tmp_path):
    page = np.full((80, 160), 255, np.uint8)
    page[:, 80:] = 85
    Image.fromarray(page).save(tmp_path / "wide.png")
    picture = read_one(tmp_path / "wide.png", fill=None)
    assert picture.changes == ("160x80 resized",)
    np.testing.assert_array_equal(picture.pixels[:, [0, 7], 0], [[16, 5]] * 8)  # nothing inverted


def test_an_image_of_the_users_own_data_has_the_colours_of_the_training_images(tmp_path):
    Image.new("RGB", (8, 8), (255, 0, 51)).save(tmp_path / "colours.png")
    Image.new("L", (8, 8), 51).save(tmp_path / "grey.png")
    in_colours, made_grey = (
        read_one(tmp_path / "colours.png", fill=None, shape=(8, 8, channels)) for channels in (3, 1)
    )
    np.testing.assert_array_equal(in_colours.pixels[4, 4], [16, 0, 3])
    assert (in_colours.changes, made_grey.changes) == ((), ("made grey",))
    coloured = read_one(tmp_path / "grey.png", fill=None, shape=(8, 8, 3))
    np.testing.assert_array_equal(coloured.pixels[4, 4], [3, 3, 3])
    with pytest.raises(InputError, match=r"of 2 channels, expected a \.npy file"):
        read_one(tmp_path / "grey.png", fill=None, shape=(8, 8, 2))


@pytest.mark.parametrize("colour", [(20, 30, 180), (250, 250, 200)], ids=["dark", "light"])
def test_ink_of_any_lightness_shows_on_a_transparent_ground(colour, tmp_path):
    image = Image.new("RGBA", (80, 80), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((30, 10, 50, 70), fill=(*colour, 255))
    image.save(tmp_path / "ink.png")
    pixels = read_one(tmp_path / "ink.png").pixels[..., 0]
    assert pixels[4, 3] > 8
    assert pixels[:, [0, 7]].max() == 0


def test_sixteen_bits_and_palettes_are_read(digits, tmp_path):
    image = digits.test_images[2]
    deep = grey(image).astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(grey(image)).convert("P").save(tmp_path / "palette.png")
    for name in ("deep.png", "palette.png"):
        np.testing.assert_array_equal(read_one(tmp_path / name).pixels, image)


def test_photograph_is_turned_as_its_camera_says(digits, tmp_path):
    image = on_paper(digits.test_images[3])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.save(tmp_path / "upright.png")
    image.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(
        read_one(tmp_path / "turned.png").pixels, read_one(tmp_path / "upright.png").pixels
    )


def test_blank_image_stays_black(tmp_path):
    for name, shade in (("white", 255), ("black", 0), ("grey", 128)):
        Image.new("L", (40, 30), shade).save(tmp_path / f"{name}.png")
        assert read_one(tmp_path / f"{name}.png").pixels.max() == 0


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 50), (3000, 2)])
def test_image_of_any_size_is_read(size, tmp_path):
    Image.new("L", size, 7).save(tmp_path / "odd.png")
    assert read_one(tmp_path / "odd.png", fill=0.7).pixels.shape == SHAPE


@pytest.mark.parametrize("form", [(8, 8), (8, 8, 1), (64,)])
def test_array_of_one_image_is_read_in_each_form(form, digits, tmp_path):
    np.save(tmp_path / "one.npy", digits.test_images[0].reshape(form))
    picture = read_one(tmp_path / "one.npy")
    np.testing.assert_array_equal(picture.pixels, digits.test_images[0])
    assert picture.name == str(tmp_path / "one.npy")


def test_array_of_many_images_names_each_by_its_place(digits, tmp_path):
    np.save(tmp_path / "many.npy", digits.test_images[:3, ..., 0].astype(np.float64))
    pictures = read(tmp_path / "many.npy", SHAPE, FULL_SCALE)
    assert [picture.name for picture in pictures] == [f"{tmp_path}/many.npy[{i}]" for i in range(3)]
    np.testing.assert_array_equal([p.pixels for p in pictures], digits.test_images[:3])


def test_an_answer_has_the_names_of_labels_where_the_model_has_some():
    found = answer(Picture("a.png", np.zeros(SHAPE)), np.array([0.25, 0.75]), ["cat", "dog"])
    assert (found["label"], found["name"]) == (1, "dog")
    assert found["runner_up"] == {"label": 0, "name": "cat", "score": 0.25}


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.zeros((3, 28, 28)),
            r"got an array of shape \(3, 28, 28\), expected one or more images",
        ),
        (np.full((8, 8), 17), r"got pixels of 17 to 17, expected 0 to 16"),
        (np.full((8, 8), np.nan), r"got pixels of nan to nan, expected 0 to 16"),
        (np.full((8, 8), 0.5), r"got pixels of 0.5 to 0.5, which would all be black"),
        (np.zeros((0, 8, 8)), r"got 0 pixels of float64, expected numbers"),
        (np.full((8, 8), "7"), r"got 64 pixels of <U1, expected numbers"),
        (np.array([{}] * 8), r"cannot be read: an array of objects, expected a .npy"),
    ],
)
def test_array_of_something_else_is_refused(array, message, tmp_path):
    np.save(tmp_path / "array.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=message) as refused:
        read_one(tmp_path / "array.npy")
    assert str(refused.value).startswith(f"{tmp_path}/array.npy: ")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.png", b"seven", "not an image that can be read, expected a PNG, a JPEG or a"),
        ("broken.png", b"\x89PNG\r\n\x1a\nnonsense", "not an image that can be read"),
        ("empty.jpg", b"", "not an image that can be read"),
        ("empty.npy", b"", "cannot be read: EOF: reading magic string"),
        ("text.npy", b"seven", "cannot be read: "),
        ("page.gif", b"GIF89a", "not an image that can be read"),
    ],
)
def test_file_that_cannot_be_read_is_refused(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_one(tmp_path / name)


def test_truncated_image_is_refused(digits, tmp_path):
    on_paper(digits.test_images[0]).save(tmp_path / "whole.png")
    (tmp_path / "part.png").write_bytes((tmp_path / "whole.png").read_bytes()[:-200])
    with pytest.raises(InputError, match=r"part\.png: not an image that can be read"):
        read_one(tmp_path / "part.png")


def png(width, height, kind=0, *, rows=None):
    """A black PNG as bytes, of which only some rows may be there; kind 2 is RGB, 6 RGBA."""

    def chunk(name, content):
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    row = bytes(1 + width * {0: 1, 2: 3, 6: 4}[kind])
    compressor = zlib.compressobj(9)
    pixels = b"".join(compressor.compress(row) for _ in range(rows or height))
    pixels += compressor.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(1, 8_000_000), (2, 20_000), (8193, 1), (60_000, 60_000)])
def test_large_image_is_refused_before_it_is_unpacked(size, tmp_path):
    (tmp_path / "large.png").write_bytes(png(*size, rows=1))
    with pytest.raises(InputError) as refused:
        read_one(tmp_path / "large.png")
    width, height = size
    expected = f"got {width}x{height} pixels, expected at most 8192 in each direction"
    assert str(refused.value) == f"{tmp_path}/large.png: {expected}"


def test_a_large_photograph_is_shrunk_and_answered_like_a_small_one(digits, tmp_path):
    small = on_paper(digits.test_images[3])
    large = small.resize((400 * 7, 300 * 7), Image.Resampling.NEAREST)
    for kind in ("L", "RGB", "RGBA", "P", "I;16"):
        other = Image.fromarray(np.asarray(large).astype(np.uint16) * 257)
        (other if kind == "I;16" else large.convert(kind)).save(tmp_path / "large.png")
        picture = read_one(tmp_path / "large.png")
        assert picture.changes[-1] == "cropped from 2800x2100"
        small.save(tmp_path / "small.png")
        expected = read_one(tmp_path / "small.png").pixels.astype(int)
        assert np.abs(picture.pixels.astype(int) - expected).max() <= 1


HIGHEST = """
import resource, sys
from pathlib import Path
from nets.errors import InputError
from studies.cli.image_files import read

limit = 1 << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))  # a MemoryError would show
for path in map(Path, sys.argv[1:]):
    for fill in (None, 0.7):
        try:
            print(read(path, (28, 28, 1), 255, fill)[0].changes)
        except InputError as error:
            print(error)
status = Path("/proc/self/status").read_text()
print(status.partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_images_up_to_the_limit_need_little_memory(tmp_path):
    files = {
        "rgb.png": png(8192, 8192, 2),
        "thin.png": png(2, 8192),
        "rgba.png": png(8192, 8192, 6),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    huge = b"{'descr': '<f8', 'fortran_order': False, 'shape': (9000000000, 28, 28), }\n"
    (tmp_path / "huge.npy").write_bytes(b"\x93NUMPY\x01\x00" + bytes([len(huge), 0]) + huge)
    paths = [tmp_path / name for name in [*files, "huge.npy"]]
    process = run_to_end([sys.executable, "-c", HIGHEST, *paths], cwd=Path(__file__).parents[3])
    assert process.returncode == 0, process.stderr
    *answers, kilobytes = process.stdout.splitlines()
    assert len(answers) == 8
    assert answers[1] == "('cropped from 8192x8192',)"
    assert "huge.npy: cannot be read: an array of 56,448,000,000,000 bytes by its" in answers[-1]
    assert int(kilobytes) < 600_000, "four bytes for each of 67 million pixels, and Python"


# The command


@pytest.fixture(scope="module")
def store(tmp_path_factory, model):
    """A store with a champion, registered as confirming a study does it."""
    root = tmp_path_factory.mktemp("registered") / "mlruns"
    prepare_mlflow()
    with warnings.catch_warnings(action="ignore"):
        # Some of its modules warn of each other while they are imported.
        import mlflow.pyfunc  # noqa: F401

        store = open_store(root)
    client = store.client
    experiment = client.create_experiment("digits", store.artifact_location)
    run_id = client.create_run(experiment).info.run_id
    model_id = log_model(
        store, experiment, run_id, model, name="champion", tags={}, params={}, step=1
    )
    registry.register(
        store, "digits", run_id=run_id, model_id=model_id, description="",
        tags={names.TEST_TAG: "accuracy 0.9500"},
    )  # fmt: skip
    store.close()
    return root


@pytest.fixture
def files(digits, tmp_path):
    """Three files with a 2, a 3 and a 4, the last on paper; and two images in one array."""
    for place in range(2):
        Image.fromarray(grey(digits.test_images[place])).save(tmp_path / f"{place}.png")
    on_paper(digits.test_images[2]).save(tmp_path / "2.jpg")
    np.save(tmp_path / "two.npy", digits.test_images[3:5])
    return [tmp_path / name for name in ("0.png", "1.png", "2.jpg", "two.npy")]


def predict(store, name, *files, options=()):
    return main(["predict", name, *map(str, files), "--store", str(store), *options])


def test_predict_prints_digit_and_score_of_every_image(store, files, digits, capsys):
    assert predict(store, "digits", *files) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading == "digits/1, test accuracy 0.9500"
    assert len(lines) == 5
    for line, label in zip(lines, digits.test_labels, strict=False):
        name, answer, score, said, runner_up, runner_up_score = line.split()[:6]
        assert Path(name).parent == files[0].parent
        assert (int(answer), said) == (label, "next")
        assert float(score) > float(runner_up_score)
        assert runner_up != answer
    assert lines[2].endswith("(inverted, background darkened by 2%, cropped from 400x300)")


def test_predict_gives_a_program_all_scores(store, files, model, digits, capsys):
    assert predict(store, "digits@champion", files[1], options=["--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    network, full_scale, _ = restore(model.arrays)
    (expected,) = probabilities(network, full_scale, digits.test_images[1:2])
    assert shown["model"] == {"name": "digits", "version": "1"}
    (image,) = shown["images"]
    assert image["file"] == str(files[1])
    assert image["label"] == expected.argmax() == 3
    np.testing.assert_allclose(image["scores"], expected, rtol=1e-5)
    assert image["score"] == max(image["scores"])
    assert image["runner_up"]["score"] == sorted(image["scores"])[-2]
    assert image["changes"] == []


def test_files_that_cannot_be_read_are_named_and_the_others_answered(store, files, capsys):
    missing = files[0].with_name("missing.png")
    assert predict(store, "digits/1", files[0], missing, files[0].parent, files[1]) == 2
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 3
    assert said.err.splitlines() == [
        f"retrial: {missing}: No such file or directory, expected a PNG, a JPEG or a .npy file",
        f"retrial: {files[0].parent}: Is a directory, expected a PNG, a JPEG or a .npy file",
    ]


def test_missing_model_names_those_that_exist(store, files, capsys):
    assert predict(store, "mnist", files[0]) == 2
    assert capsys.readouterr().err == (
        "retrial: model: no registered model 'mnist'; registered: digits\n"
    )


def test_folder_that_is_no_store_is_not_made_one(files, tmp_path, capsys):
    assert predict(tmp_path / "nothing", "digits", files[0]) == 2
    assert (
        f"no models in {tmp_path / 'nothing'}, expected a store (--store" in capsys.readouterr().err
    )
    assert not (tmp_path / "nothing").exists()


def test_command_needs_no_working_directory_of_mlflows(store, files, monkeypatch, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert predict(store, "digits", files[0].resolve()) == 0
    assert list(folder.iterdir()) == []
