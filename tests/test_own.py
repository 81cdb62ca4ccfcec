"""Images of one's own: read as what they are, or refused in one sentence."""

import re

import numpy as np
import pytest

from conftest import write_idx
from suppress_privacy.idx import DataError
from suppress_privacy.mnist import resize
from suppress_privacy.own import load_own

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 9, 7), np.uint8)
COLOUR = RNG.integers(0, 256, (6, 3, 9, 7), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def saved(path, images=GREY, labels=LABELS, **more):
    np.savez(path, images=images, labels=labels, **more)
    return str(path)


def loaded(folder, train=None, test=None):
    asked = (("train", train or {}), ("test", {"images": GREY[::-1]} | (test or {})))
    files = [saved(folder / f"{name}.npz", **own) for name, own in asked]
    return load_own(*files)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (GREY, GREY[:, None] / np.float32(255)),
        (COLOUR, COLOUR / np.float32(255)),
        (COLOUR.transpose(0, 2, 3, 1), COLOUR / np.float32(255)),
        (COLOUR / 255.0, (COLOUR / 255.0).astype(np.float32)),
    ],
)
def test_images_of_any_layout_are_read_as_they_are(tmp_path, images, expected):
    data = loaded(tmp_path, {"images": images}, {"images": images[:3], "labels": LABELS[:3, None].astype(np.uint8)})
    assert data.train_images.dtype == np.float32 and data.test_labels.dtype == np.int32
    np.testing.assert_array_equal(data.train_images, expected)
    np.testing.assert_array_equal(data.test_images, expected[:3])
    assert data.train_labels.tolist() == LABELS.tolist() and data.classes == 3 and data.name == "own"


def test_images_of_mnists_size_are_resized_as_its_own(tmp_path):
    images = RNG.integers(0, 256, (6, 28, 28), np.uint8)
    data = loaded(tmp_path, {"images": images}, {"images": images[::-1]})
    np.testing.assert_array_equal(data.train_images, resize(images))


def test_a_folder_of_idx_files_is_read_part_by_part(tmp_path):
    for part, count in (("train", 6), ("t10k", 3)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", GREY[:count])
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", LABELS[:count])
    data = load_own(str(tmp_path), str(tmp_path))
    np.testing.assert_array_equal(data.train_images, GREY[:, None] / np.float32(255))
    assert len(data.test_labels) == 3


def test_other_bytes_have_another_name(tmp_path):
    first = loaded(tmp_path).sha256
    other = loaded(tmp_path, {"labels": LABELS[::-1]}).sha256
    assert first["train"] != other["train"] and first["test"] == other["test"]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ({"images": GREY[0]}, {}, r"images of .*train.npz have the shape (9, 7); it must be [N, H, W]"),
        ({"images": COLOUR[:, :2]}, {}, "have the shape (6, 2, 9, 7)"),
        ({"images": GREY.astype(np.int64)}, {}, "are int64; they must be uint8, or numbers from 0 to 1: scale them"),
        ({"images": GREY * 1.0}, {}, "are float64; they must be uint8, or numbers from 0 to 1"),
        ({"images": np.full((6, 9, 7), np.nan)}, {}, "numbers from 0 to 1"),
        ({"labels": LABELS[:5]}, {}, "has 6 images and labels of the shape (5,): give one for each image"),
        ({"labels": LABELS + 1}, {}, "has labels up to 3 and none 0: number the classes from 0"),
        ({"labels": LABELS - 1}, {}, "and not classes numbered from 0"),
        ({"labels": LABELS * 0.5}, {}, "labels of .*train.npz are float64 and not classes"),
        ({}, {"labels": LABELS + 1}, "test.npz has the label 3, of which .*train.npz has no image"),
        ({}, {"images": COLOUR}, "images are of the shapes (1, 9, 7) in .* and (3, 9, 7) in "),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(tmp_path, train, test, message):
    pattern = re.escape(message).replace(re.escape(".*"), ".*")
    with pytest.raises(DataError, match=pattern):
        loaded(tmp_path, train, test)


def test_files_of_another_kind_are_refused(tmp_path):
    good = saved(tmp_path / "good.npz")
    (tmp_path / "page.npz").write_bytes(b"<html>not found</html>")
    np.savez(tmp_path / "other.npz", x=GREY)
    for name, message in (
        ("page.npz", "cannot be read as arrays"),
        ("missing.npz", "cannot be read as arrays"),
        ("other.npz", "has x, and no array images: save images and labels in it"),
    ):
        with pytest.raises(DataError, match=message):
            load_own(good, str(tmp_path / name))
    with pytest.raises(DataError, match="has no t10k-images-idx3-ubyte"):
        load_own(good, str(tmp_path))


def test_images_that_cannot_be_meant_are_refused(tmp_path):
    dark = (GREY > 100).astype(np.uint8)
    for images, message in (
        (dark, "are bytes of 0 and 1, where white is 255"),
        (np.full_like(GREY, 7), "are all of one value, 7"),
    ):
        with pytest.raises(DataError, match=message):
            loaded(tmp_path, {"images": images}, {"images": GREY})
    with pytest.raises(DataError, match=r"have the same images: test on others"):
        loaded(tmp_path, {}, {"images": GREY})
