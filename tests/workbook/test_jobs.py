import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from workbook import books

from lesionkit.study import StudyError
from lesionkit.workbook import cluster as dask_cluster
from lesionkit.workbook import execution, jobs, pipeline, steps
from lesionkit.workbook.graph import Job
from lesionkit.workbook.manifest import file_hash, read_manifest
from lesionkit.workbook.staleness import Step
from lesionkit.workbook.steps import RunError

distributed = pytest.importorskip("distributed", reason="pip install 'lesionkit[cluster]'")

TRAININGS = ["02_train_backbone_densenet121", "02_train_backbone_resnet50"]
WHO = 'import os\nwho = run.path("who", backbone)\nwho.parent.mkdir(exist_ok=True)\nwho.write_text(str(os.getppid()))'


class Toy:
    """A toy study in a folder, and what was said of its runs."""

    def __init__(self, folder):
        self.folder, self.given, self.said = folder, books.write_study(folder), []
        self.outputs = folder / "outputs" / "toy"

    def run(self, **more):
        self.said.clear()
        return pipeline.run_study(**{**self.given, "say": self.said.append, **more})

    def add(self, name, *cells):
        books.write_notebook(self.folder / "notebooks", name, [*books.CELLS[name], *cells])

    def results(self):
        """The hashes of all that was made, but for what says when; and of what each step was made from."""
        manifest = read_manifest(self.outputs)
        files = [path for path in manifest["artifacts"] if path.split("/")[0] not in ("notebooks", "report")]
        assert all(manifest["artifacts"][path]["hash"] == file_hash(self.outputs / path) for path in files)
        made_from = {name: entry["parts"]["inputs"] for name, entry in manifest["steps"].items() if name != "report"}
        return {path: manifest["artifacts"][path] for path in files}, made_from


@pytest.fixture(scope="module")
def in_order(tmp_path_factory):
    """A toy study that was run in this process, step after step."""
    toy = Toy(tmp_path_factory.mktemp("in_order"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "execute", books.run_here)
        toy.run()
    return toy


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The same study, by two jobs at once."""
    toy = Toy(tmp_path_factory.mktemp("together"))
    toy.run(jobs=2)
    return toy, list(toy.said)


def dask(*args):
    command = [sys.executable, "-m", "dask", *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler and two workers that were there before, one of them with a GPU; their processes and the address."""
    file = tmp_path_factory.mktemp("cluster") / "scheduler.json"
    common = ["--scheduler-file", file, "--no-dashboard"]
    processes = {"scheduler": dask("scheduler", *common, "--host", "127.0.0.1", "--port", 0)}
    for name, more in {"gpu": ["--resources", "GPU=1"], "cpu": []}.items():
        processes[name] = dask("worker", *common, "--no-nanny", "--nthreads", 1, *more)
    while not file.exists():
        assert processes["scheduler"].poll() is None
        time.sleep(0.1)
    address = json.loads(file.read_text())["address"]
    with distributed.Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=30)
        jobs._version.cache_clear()  # all read the code now, whoever edits it during the tests
        assert set(client.run(jobs._version).values()) == {jobs._version()}
    yield SimpleNamespace(address=address, **processes)
    for process in processes.values():
        process.kill()
        process.wait()


def test_jobs_beside_each_other_make_what_a_run_in_order_makes(in_order, together):
    toy, said = together
    assert toy.results() == in_order.results()
    names = [line.split()[0] for line in said]
    assert [names[0], sorted(names[1:3]), names[3:]] == ["01_eda", TRAININGS, ["03_ensemble", "06_report", "report"]]
    assert all((toy.outputs / "notebooks" / f"{name}.ipynb").exists() for name in names[:-1])
    assert (toy.outputs / "report" / "index.html").exists()


def test_a_study_that_is_fresh_starts_no_cluster(together, monkeypatch):
    toy, _ = together
    monkeypatch.setattr(dask_cluster, "client_of", lambda *args: pytest.fail("a cluster was started"))
    toy.run(jobs=2)
    assert [line.split()[1] for line in toy.said] == ["fresh"] * 6


def test_a_job_whose_worker_is_killed_is_run_again_and_its_kernel_ends(in_order, together):
    toy, _ = together
    kill = (f'{WHO}\nimport time\nflag = run.path("killed")\nif not flag.exists():\n    flag.write_text(str(os.getpid()))\n'
            "    os.kill(os.getppid(), 9)\n    time.sleep(100)")  # fmt: skip
    toy.add("02_train_backbone", kill)
    toy.run(jobs=2, only=["02"])
    assert sorted(line.split()[0] for line in toy.said) == [*TRAININGS, "report"]
    with pytest.raises(ProcessLookupError):
        os.kill(int((toy.outputs / "killed").read_text()), 0)
    assert toy.results() == in_order.results()


def test_a_cluster_that_exists_does_the_work_and_what_trains_goes_to_its_gpu(in_order, cluster, tmp_path):
    toy = Toy(tmp_path)
    toy.add("02_train_backbone", WHO)
    toy.run(scheduler=cluster.address, only=["01", "02"])
    assert {file.read_text() for file in (toy.outputs / "who").iterdir()} == {str(cluster.gpu.pid)}
    chosen = ("splits/", "tables/01", "predictions/")
    assert toy.results()[0] == {path: made for path, made in in_order.results()[0].items() if path.startswith(chosen)}


def test_workers_are_counted_by_the_scheduler(cluster, monkeypatch):
    """The client's timer notes the scheduler without its workers, at times between the client's question and its answer."""
    with distributed.Client(cluster.address, set_as_default=False) as client:
        noted = client.scheduler_info(n_workers=0)
        assert not noted["workers"]
        monkeypatch.setattr(client, "scheduler_info", lambda **asked: noted)
        assert len(jobs._workers(client)) == 2


def test_after_a_failure_nothing_is_begun_and_what_runs_is_let_end(cluster, tmp_path):
    toy = Toy(tmp_path)
    (tmp_path / "toy.toml").write_text('backbones = ["resnet50", "densenet121"]\n')
    toy.add("03_ensemble", "raise ValueError('no such thing')")
    slow = ('import time\nwhile not run.path("notebooks", "03_ensemble.failed.ipynb").exists():\n    time.sleep(0.1)\n'
            "time.sleep(3)  # until the run has heard of it")  # fmt: skip
    books.write_notebook(tmp_path / "notebooks", "05_explainability", [slow, 'run.text("x", "x")'])
    with pytest.raises(pipeline.RunError, match=r"03_ensemble failed: cell In \[6\] raised ValueError: no such thing"):
        toy.run(scheduler=cluster.address)
    said = [line.split()[0] for line in toy.said]
    assert sorted(said[:3]) == ["01_eda", *TRAININGS] and said[3:] == ["03_ensemble", "05_explainability"]
    assert "let end" in toy.said[3]
    assert {state.step.id for state in pipeline.status(**toy.given) if state.name != "fresh"} == {
        "03_ensemble", "06_report", "report"}  # fmt: skip


def test_a_run_whose_scheduler_dies_goes_on_where_it_was(cluster, tmp_path, monkeypatch):
    toy = Toy(tmp_path)
    toy.add("03_ensemble", f"import os\nif not run.path('gone').exists():\n    run.path('gone').touch()\n"
                           f"    os.kill({cluster.scheduler.pid}, {int(signal.SIGKILL)})")  # fmt: skip
    with pytest.raises(pipeline.RunError, match="is gone; 03_ensemble was running: the same command goes on"):
        toy.run(scheduler=cluster.address)
    monkeypatch.setattr(execution, "execute", books.run_here)
    toy.run()
    assert [line.split()[1] for line in toy.said[:3]] == ["fresh"] * 3
    assert [line.split()[0] for line in toy.said[3:]] == ["03_ensemble", "06_report", "report"]


def test_a_scheduler_that_does_not_answer_is_named(in_order, monkeypatch):
    monkeypatch.setattr(dask_cluster, "PATIENCE", 0.5)
    for address in ("tcp://127.0.0.1:9", "nonsense"):
        with pytest.raises(pipeline.RunError, match=f"no scheduler at {address}: start one with `dask scheduler`"):
            in_order.run(scheduler=address, force=True)


def test_a_missing_dask_is_asked_for(in_order, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(StudyError, match=r"pip install 'lesionkit\[cluster\]'"):
        in_order.run(jobs=2, force=True)


def test_jobs_and_a_scheduler_exclude_each_other(in_order):
    with pytest.raises(StudyError, match="--jobs 2 --scheduler tcp://x:1: give one"):
        in_order.run(jobs=2, scheduler="tcp://x:1")
    with pytest.raises(StudyError, match="--jobs -1: 1, several, or 0"):
        in_order.run(jobs=-1)


def test_what_a_worker_must_see(tmp_path):
    notebooks, run = tmp_path / "notebooks", tmp_path / "run"
    notebooks.mkdir(), run.mkdir()
    (run / "study.json").write_text("settings")
    needs = [str(notebooks), str(run)]
    assert jobs._problem(jobs._version(), needs, "settings") == ""
    assert "runs lesionkit" in jobs._problem("0.0.1", needs, "settings")
    assert "sees no folder /nowhere" in jobs._problem(jobs._version(), [*needs, "/nowhere"], "settings")


def test_a_folder_of_the_same_name_that_is_another_is_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    (tmp_path / "study.json").write_text("another's")
    assert "must be shared" in jobs._problem(jobs._version(), [str(tmp_path)] * 2, "settings")


def test_a_worker_of_another_version_does_no_job():
    with pytest.raises(pipeline.RunError, match="install the same"):
        jobs._work(None, "0.0.1", "01_eda", 0)


def test_what_needs_no_gpu_leaves_the_gpus_to_others(monkeypatch):
    """Two workers, one with two GPUs: a job without goes to the other, one with two GPUs waits for nothing."""
    workers = {"big": {"nthreads": 1, "resources": {"GPU": 2}}, "small": {"nthreads": 1, "resources": {}}}
    monkeypatch.setattr(jobs, "_workers", lambda client: workers)
    client = SimpleNamespace(status="running", submit=lambda *a, workers, **k: workers)
    step = Step("03_ensemble")
    waiting = {job.name: job for job in (Job(Step("05_x"), frozenset(), gpus=2), Job(step, frozenset()), Job(Step("04_x"), frozenset()))}
    runner = jobs._Runner(client, None, dict(waiting), {"03_ensemble": 9, "04_x": 8, "05_x": 1}, True, None, print)
    runner.command = SimpleNamespace()
    runner._start()
    assert {name: future for name, (_, future) in runner.running.items()} == {"03_ensemble": ["small"], "04_x": ["big"]}
    client.status = "closed"
    with pytest.raises(RunError, match="the scheduler is gone"):
        runner.asked = 0.0
        runner._start()


def test_a_step_waits_for_one_that_an_earlier_command_has_left_running(in_order, capsys):
    file = in_order.outputs / "cache" / "locks" / "03_ensemble.lock"
    held = subprocess.Popen([sys.executable, "-c", f"import time, filelock\nwith filelock.FileLock({str(file)!r}):\n"
                             "    print('held', flush=True)\n    time.sleep(1)"], stdout=subprocess.PIPE)  # fmt: skip
    assert held.stdout.readline() == b"held\n"
    command = steps.Command.of(*(in_order.given[key] for key in ("study", "data", "out")), (), in_order.given["notebooks"])
    assert steps.bring_up_to_date(command, "03_ensemble", watch=True) == "fresh"
    assert held.poll() == 0 or held.wait(5) == 0
    assert "03_ensemble is still running for an earlier command" in capsys.readouterr().err


def test_a_path_is_the_same_to_every_job(tmp_path, monkeypatch):
    (tmp_path / "weights").mkdir(), (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    command = steps.Command.of("mine.toml", "", "out", ["weights=weights"], Path("notebooks"))
    assert (command.study, command.out) == (str(tmp_path / "mine.toml"), str(tmp_path / "out"))
    assert command.overrides == ("weights=../weights",) and command.notebooks == tmp_path / "notebooks"
