import json
import zlib

import numpy as np
import pytest

from suppress_privacy.evaluation.intervals import Estimate
from suppress_privacy.study import records, runs
from suppress_privacy.study.settings import Targets


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "folder" / "record.json"
    records.write_json(path, {"value": 1})
    with pytest.raises(TypeError):
        records.write_json(path, {"value": object()})
    assert json.loads(path.read_text()) == {"value": 1}
    records.write_json(path, {"value": 2})
    assert json.loads(path.read_text()) == {"value": 2}


def test_a_record_comes_back_with_its_arrays(tmp_path):
    store = records.Records(tmp_path)
    store.write("one", {"kind": "attack"}, ssim=np.arange(3.0))
    assert store.read("one")["kind"] == "attack"
    assert store.arrays("one")["ssim"].tolist() == [0, 1, 2]
    records.write_arrays(store.folder / "one.npz", ssim=np.arange(4.0))
    with pytest.raises(records.RecordError, match="does not belong to its record"):
        store.arrays("one")


def test_the_schema_in_the_package_is_that_of_the_summary():
    schema = json.loads((records.Path(records.__file__).parent / "summary.schema.json").read_text())
    assert schema == records.Summary.model_json_schema()


def test_an_interval_ends_where_its_metric_does():
    wide = Estimate(0.6, -0.2, 1.4, 30)
    for metric, ends in {
        "confidence": (0, 1),
        "confidence_convnet": (0, 1),
        "skill": (-0.2, 1),
        "relative_l2": (0, 1.4),
        "psnr": (-0.2, 1.4),
    }.items():
        found = records._within(metric, wide)
        assert (found.mean, found.low, found.high, found.n) == (0.6, *ends, 30)


def test_the_kept_share_counts_weights_not_layers():
    report = {"small": {"weights": 100, "alive": 50}, "large": {"weights": 900, "alive": 50}}
    assert records._kept(report) == 0.1


def test_targets_are_the_same_ones_every_time_and_are_no_auxiliary_images(digits):
    settings = Targets(train_per_class=2, test_per_class=1)
    first, again = runs.choose_targets(digits, settings), runs.choose_targets(digits, settings)
    assert np.array_equal(first.index, again.index)
    assert np.bincount(first.labels).tolist() == [3] * 10
    assert first.in_training.sum() == 20
    assert len(first.auxiliary) == len(digits.test_images) - 10
    for image, member, index in zip(first.images, first.in_training, first.index, strict=True):
        source = digits.train_images if member else digits.test_images
        assert np.array_equal(image, source[index])
    owned = {image.tobytes() for image in first.auxiliary}
    assert not any(image.tobytes() in owned for image in first.images)
    assert sorted(np.bincount(first.auxiliary_labels)) == [99] * 10
    for label, others in first.gallery.items():
        assert len(others) == 398  # all of the embedded training digits of a class but two targets
        assert not {image.tobytes() for image in others} & {image.tobytes() for image in first.images}
        assert {image.tobytes() for image in others} <= {
            image.tobytes() for image in digits.train_images[digits.train_labels == label]
        }
    assert first.labels[first.first_of_each_class(2)].tolist() == [label for label in range(10) for _ in range(2)]
    with pytest.raises(ValueError, match=r"targets.test_per_class is 100; MNIST-5000 has 100 of the rarest class"):
        runs.choose_targets(digits, Targets(train_per_class=1, test_per_class=100))


def test_integers_take_no_more_bytes_than_they_need():
    for values, kind in (([0, 9, 255], np.uint8), ([0, 59_999], np.uint16), ([70_000], np.uint32)):
        small = runs.few_bytes(np.array(values))
        assert small.dtype == kind and small.tolist() == values


def test_few_digits_are_kept_and_take_less_room():
    values = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    rounded = runs.few_digits(values)
    assert np.abs(rounded / values - 1).max() <= 2**-13
    assert abs((rounded - values).mean()) < 1e-5  # towards neither side
    assert len(zlib.compress(rounded.tobytes())) < 0.8 * len(zlib.compress(values.tobytes()))
    exact = np.array([0, 1, -1, 0.5, 1000], np.float32)
    assert np.array_equal(runs.few_digits(exact), exact)
