"""Downloads from real HTTP servers on this machine."""

import gzip
import http.server
import re
import threading

import pytest

from nets.data import fetch, load
from nets.errors import InputError

IMAGES = "train-images-idx3-ubyte"


class Mirror:
    """A server that answers with `files`, path -> bytes; `announced` may lie about a length."""

    def __init__(self, files):
        self.files, self.announced, self.asked = dict(files), {}, []
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rpartition("/")[2]
                mirror.asked.append(name)
                if name not in mirror.files:
                    self.send_error(404)
                    return
                content = mirror.files[name]
                self.send_response(200)
                self.send_header("Content-Length", mirror.announced.get(name, len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/mnist/"
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def good_files(little_mnist):
    return {f"{name}.gz": gzip.compress(content) for name, content in little_mnist.items()}


@pytest.fixture
def mirror(good_files, monkeypatch):
    """Start mirrors that have all files; a test may spoil each before it is used."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    started = []

    def start():
        started.append(Mirror(good_files))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


def truncated(mirror):
    mirror.files[f"{IMAGES}.gz"] = mirror.files[f"{IMAGES}.gz"][:1000]


def cut_off(mirror):
    mirror.announced[f"{IMAGES}.gz"] = len(mirror.files[f"{IMAGES}.gz"])
    truncated(mirror)


def tampered(mirror):
    content = bytearray(gzip.decompress(mirror.files[f"{IMAGES}.gz"]))
    content[500] ^= 1
    mirror.files[f"{IMAGES}.gz"] = gzip.compress(content)


def missing(mirror):
    del mirror.files[f"{IMAGES}.gz"]


def a_login_page(mirror):
    mirror.files[f"{IMAGES}.gz"] = b"<html>Welcome to the hotel</html>"


def unreachable(mirror):
    mirror.close()
    mirror.close = lambda: None


SPOILT = [
    (truncated, r"got SHA-256 [0-9a-f]{64} \(truncated or damaged gzip\) from {url}"),
    (cut_off, r"got an error \(.*1000 bytes read.*\) from {url}"),
    (tampered, r"got SHA-256 [0-9a-f]{64} from {url}"),
    (missing, r"got an error \(404 .*\) from {url}"),
    (a_login_page, r"got SHA-256 [0-9a-f]{64} from {url}"),
    (unreachable, r"got an error \(.*refused.*\) from {url}"),
]


def test_fetched_files_are_the_published_ones_and_load(mirror, folder, good_files):
    paths = fetch("mnist", folder, [mirror().url], progress=False)
    assert {path.name: path.read_bytes() for path in paths} == good_files
    assert sorted((folder / "mnist").iterdir()) == sorted(paths)
    assert load("mnist", folder, folder / "cache").images.shape == (6, 28, 28, 1)


@pytest.mark.parametrize("spoil", [spoil for spoil, _ in SPOILT])
def test_a_file_that_is_bad_on_the_first_mirror_comes_from_the_second(
    mirror, folder, good_files, spoil
):
    first, second = mirror(), mirror()
    spoil(first)
    paths = fetch("mnist", folder, [first.url, second.url], progress=False)
    assert {path.name: path.read_bytes() for path in paths} == good_files
    assert f"{IMAGES}.gz" in second.asked


@pytest.mark.parametrize(("spoil", "received"), SPOILT)
def test_a_file_that_is_bad_on_every_mirror_is_named_and_nothing_is_left(
    mirror, folder, spoil, received
):
    one = mirror()
    spoil(one)
    with pytest.raises(InputError) as raised:
        fetch("mnist", folder, [one.url], progress=False)
    assert not folder.exists()
    assert raised.value.key == f"{IMAGES}.gz"
    assert re.fullmatch("content with SHA-256 [0-9a-f]{64}", raised.value.expected)
    raised.match("cannot be fetched: " + received.replace("{url}", f"{one.url}{IMAGES}.gz"))


def test_a_late_failure_leaves_none_of_the_downloaded_files(mirror, folder):
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    one = mirror()
    del one.files["t10k-labels-idx1-ubyte.gz"]
    with pytest.raises(InputError, match=r"t10k-labels-idx1-ubyte\.gz: cannot be fetched"):
        fetch("mnist", folder, [one.url], progress=False)
    assert [path.name for path in folder.rglob("*")] == ["notes.txt"]


def test_existing_files_with_the_right_content_are_not_requested(mirror, folder):
    one = mirror()
    fetch("mnist", folder, [one.url], progress=False)
    one.asked.clear()
    assert fetch("mnist", folder, [one.url], progress=False) == []
    assert one.asked == []


def test_a_wrong_file_is_replaced(mirror, folder, good_files):
    one = mirror()
    fetch("mnist", folder, [one.url], progress=False)
    path = folder / "mnist" / f"{IMAGES}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert fetch("mnist", folder, [one.url], progress=False) == [path]
    assert path.read_bytes() == good_files[path.name]


def test_progress_is_drawn_on_standard_error_with_the_name_of_the_file(mirror, folder, capsys):
    fetch("mnist", folder, [mirror().url], progress=True)
    shown = capsys.readouterr()
    assert f"{IMAGES}.gz: 100%" in shown.err
    assert shown.out == ""


def test_without_progress_nothing_is_printed(mirror, folder, capsys):
    fetch("mnist", folder, [mirror().url], progress=False)
    assert capsys.readouterr() == ("", "")


def test_digits_need_no_download(folder):
    assert fetch("digits", folder, []) == []
    assert not folder.exists()


def test_an_unknown_dataset_is_refused_before_any_request(folder):
    with pytest.raises(InputError) as error:
        fetch("emnist", folder)
    assert (error.value.key, error.value.received) == ("data", "emnist")
    assert (error.value.expected, error.value.hint) == ("digits or mnist", "did you mean 'mnist'?")


def test_a_folder_that_cannot_be_created_is_named(mirror, tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"^cannot write to .*data/mnist: "):
        fetch("mnist", tmp_path / "data", [mirror().url], progress=False)
