import hashlib
import io
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from suppress_privacy.files import atomically, read_arrays, sha256_of


def test_the_folder_is_made_and_the_file_is_there_at_the_end_alone(tmp_path):
    path = tmp_path / "a" / "b" / "summary.json"
    with atomically(path) as part:
        part.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["summary.json"]


@pytest.mark.parametrize("names", [["a"], ["a/b", "a/c/d"]], ids=["file", "folder"])
def test_what_is_written_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch, names):
    """Or a power cut could leave the name with nothing in it."""
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    with atomically(tmp_path / names[0].partition("/")[0]) as part:
        written = [part / name.partition("/")[2] if "/" in name else part for name in names]
        for path in written:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("whole")
        assert flushed == []
    assert flushed == [str(path) for path in written]


def test_what_a_killed_process_of_the_same_number_left_is_no_part_of_it(tmp_path):
    (tmp_path / f".part-{os.getpid()}-table" / "old").mkdir(parents=True)
    with atomically(tmp_path / "table") as part:
        part.mkdir()
        (part / "new").touch()
    assert os.listdir(tmp_path / "table") == ["new"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "summary.json"
    path.write_text("old")
    with pytest.raises(error), atomically(path) as part:
        part.write_text("hal")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["summary.json"]


def test_a_writer_that_wrote_nothing_is_an_error_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "summary.json"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), atomically(str(path)):
        pass
    assert path.read_text() == "old"


def test_whoever_reads_meanwhile_finds_the_old_file(tmp_path):
    path = tmp_path / "summary.json"
    path.write_text("old")
    with path.open() as reader:
        with atomically(path) as part:
            part.write_text("new")
            assert path.read_text() == "old"
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_a_link_stays_one_and_its_file_is_the_new_one(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "elsewhere" / "summary.json")
    for content in ("first", "second"):
        with atomically(tmp_path / "link.json") as part:
            part.write_text(content)
        assert (tmp_path / "link.json").is_symlink()
        assert (tmp_path / "elsewhere" / "summary.json").read_text() == content
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "link.json"]


@pytest.mark.parametrize("made", [False, True])
def test_a_folder_is_no_file_to_be_replaced(tmp_path, made):
    (tmp_path / "summary.json").mkdir()
    if made:
        (tmp_path / "summary.json" / "mine").touch()
    with pytest.raises(OSError, match="directory"), atomically(tmp_path / "summary.json") as part:
        part.write_text("new")
    assert os.listdir(tmp_path) == ["summary.json"] and made == (tmp_path / "summary.json" / "mine").exists()


class Explosive:
    """Whoever unpickles it runs it."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def npz(path, **entries):
    """An archive of bytes as they are given."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    return path


def header(shape, kind="<f8"):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": kind, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def test_arrays_come_back_as_numpy_wrote_them(tmp_path):
    arrays = {"a": np.arange(6).reshape(2, 3), "b/c": np.array("text"), "d": np.array(["x", "yz"]), "e": np.zeros(0)}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    found = read_arrays(tmp_path / "a.npz")
    assert found.keys() == arrays.keys()
    assert all(
        np.array_equal(found[name], array) and found[name].dtype == array.dtype for name, array in arrays.items()
    )


def test_an_archive_that_would_fill_the_memory_is_refused_before_it_is_unpacked(tmp_path):
    path = npz(tmp_path / "bomb.npz", a=header((1 << 26,), "|u1") + bytes(1 << 26))
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    with pytest.raises(
        ValueError, match=r"bomb.npz cannot be read as arrays \(it would take 67,108,992 bytes, more than"
    ):
        read_arrays(path, at_most=1 << 25)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    "shape", [(10**12,), (2**62, 2**62), (-1,), (1 << 40,)], ids=["terabytes", "overflow", "negative", "a terabyte"]
)
def test_a_shape_that_promises_more_than_there_is_is_refused(tmp_path, shape):
    with pytest.raises(ValueError, match="cannot be read as arrays"):
        read_arrays(npz(tmp_path / "a.npz", a=header(shape) + bytes(64)))


def test_a_million_million_values_of_no_bytes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="has 1,000,000,000,000 values of no bytes"):
        read_arrays(npz(tmp_path / "a.npz", a=header((10**12,), "|S0")))


def test_no_pickle_is_run(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([Explosive()], object))
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Explosive()))
    for name in ("a.npz", "b.npz"):
        with pytest.raises(ValueError, match=f"{name} cannot be read as arrays"):
            read_arrays(tmp_path / name)


def test_whatever_the_bytes_arrays_are_read_or_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.arange(300), b=np.array("text"))
    good, rng = (tmp_path / "a.npz").read_bytes(), np.random.default_rng(0)
    for case in range(500):
        content = bytearray(good if case % 3 else good[: rng.integers(0, len(good))])
        for position in rng.integers(0, len(content) or 1, 3 if content else 0):
            content[position] = rng.integers(0, 256)
        (tmp_path / "b.npz").write_bytes(content)
        try:
            assert all(isinstance(array, np.ndarray) for array in read_arrays(tmp_path / "b.npz").values())
        except ValueError as error:
            assert "b.npz cannot be read as arrays" in str(error)


def test_the_hash_is_that_of_the_bytes(tmp_path):
    content = bytes(range(256)) * 10_000
    (tmp_path / "bytes").write_bytes(content)
    assert sha256_of(tmp_path / "bytes") == hashlib.sha256(content).hexdigest()
    (tmp_path / "bytes").write_bytes(content + b"\0")
    assert sha256_of(tmp_path / "bytes") != hashlib.sha256(content).hexdigest()
