"""What the test on a cluster says where it cannot be made, and that all of a cluster is in its folder."""

import re

import pytest

import cluster


def test_programs_that_are_missing_are_one_sentence_that_names_their_packages(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cluster, "PATH", str(tmp_path))
    for name in ("munged", "mariadbd", "mariadb-install-db", "my_print_defaults", "slurmd", "sbatch"):
        (tmp_path / name).touch(0o755)
    assert cluster.main() == 2
    wanted = "there is no slurmdbd, slurmctld: apt-get install --no-install-recommends slurmdbd slurmctld\n"
    assert capsys.readouterr().err == f"cluster: {wanted}"


def test_a_daemon_that_does_not_start_is_told_with_what_it_said(tmp_path):
    there = cluster.Cluster(tmp_path)
    with pytest.raises(cluster.ClusterError, match=r"slurmd does not run here:\nno such luck"):
        there.start("slurmd", ["sh", "-c", "echo no such luck; exit 3"], lambda: False)


def test_a_cluster_writes_to_its_own_folder_and_listens_here_alone(tmp_path):
    cluster.Cluster(tmp_path).configure()
    said = (tmp_path / "slurm.conf").read_text() + (tmp_path / "slurmdbd.conf").read_text()
    paths = re.findall(r"=(?:socket=)?(/\S+)", said)
    assert len(paths) == 8 and all(path.startswith(f"{tmp_path}/") for path in paths)
    assert "(127.0.0.1)" in said and "NodeAddr=127.0.0.1" in said and "NoInAddrAny" in said
    assert {oct((tmp_path / name).stat().st_mode & 0o777) for name in ("munge.key", "slurmdbd.conf")} == {"0o600"}
