import hashlib
import os

import pytest

from suppress_privacy.files import atomically, sha256_of


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


def test_the_hash_is_that_of_the_bytes(tmp_path):
    content = bytes(range(256)) * 10_000
    (tmp_path / "bytes").write_bytes(content)
    assert sha256_of(tmp_path / "bytes") == hashlib.sha256(content).hexdigest()
    (tmp_path / "bytes").write_bytes(content + b"\0")
    assert sha256_of(tmp_path / "bytes") != hashlib.sha256(content).hexdigest()
