"""Where jobs are done: how many at once, with which threads and GPUs."""

from types import SimpleNamespace

import pytest

from lesionkit.study import Study, StudyError
from lesionkit.workbook import cluster

distributed = pytest.importorskip("distributed", reason="pip install 'lesionkit[cluster]'")


def test_as_many_jobs_as_cores_and_memory_allow(monkeypatch):
    memory = SimpleNamespace(available=11e9)
    monkeypatch.setattr(cluster.psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(cluster, "_cores", lambda: 16)
    assert cluster.number(3, Study("x")) == 3
    assert cluster.number(0, Study("x")) == 4  # 2.5 GB each
    assert cluster.number(0, Study("x", threads=8)) == 2
    memory.available = 1e9
    assert cluster.number(0, Study("x", threads=32)) == 1


def test_threads_of_jobs_beside_each_other(monkeypatch):
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cluster, "_cores", lambda: 8)
    assert cluster.environment(Study("x"), 3) == {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "2"}
    assert cluster.environment(Study("x", threads=1), 3) == {"OMP_WAIT_POLICY": "PASSIVE"}  # the study has said it
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert cluster.environment(Study("x"), 3)["OMP_NUM_THREADS"] == "5"


@pytest.mark.parametrize(("visible", "found"), [
    ("", []), ("-1", []), ("0,2", ["0", "2"]), ("GPU-8a, GPU-9b", ["GPU-8a", "GPU-9b"]),
])  # fmt: skip
def test_gpus_that_the_environment_names(visible, found, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert cluster.visible_gpus() == found


def test_gpus_that_the_driver_lists(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    lines = ["GPU 0: A (UUID: GPU-1)", "  MIG 1g: (UUID: MIG-2)", "GPU 1: A (UUID: GPU-3)"]
    tool.write_text("\n".join(["#!/bin/sh", *(f"echo '{line}'" for line in lines)]))
    tool.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert cluster.visible_gpus() == ["0", "1"]
    tool.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cluster.visible_gpus() == []


@pytest.mark.parametrize(("count", "processes", "shares"), [
    (4, 1, ["0", "1", "2", ""]), (2, 1, ["0", "1"]), (2, 2, ["0,1", ""]),
])  # fmt: skip
def test_each_worker_sees_gpus_of_its_own(count, processes, shares, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    monkeypatch.setattr(distributed, "SpecCluster", lambda **spec: spec["workers"])
    workers = cluster._cluster(Study("x", processes=processes), count).values()
    assert [worker["options"]["env"]["CUDA_VISIBLE_DEVICES"] for worker in workers] == shares
    needed = [len(share.split(",")) if share else 0 for share in shares]
    assert [worker["options"]["resources"].get("GPU", 0) for worker in workers] == needed


def test_fewer_gpus_than_processes_are_not_made_up_for_by_the_cpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    with pytest.raises(StudyError, match="processes = 4: this machine shows 3 GPUs"):
        cluster._cluster(Study("x", processes=4), 1)
