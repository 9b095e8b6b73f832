"""Network trainings on a Ray cluster (Moritz et al. 2018): `python -m report --executor ray`.

A network's notebook without a record becomes a task with a GPU of its own, or one processor where
the cluster has no GPU. The project travels to the workers; what they write but weights comes back
through the object store. A lost worker or a failed notebook costs its own run alone. Data sets that
are not drawn must lie on the workers, where `data_root` or SEGMENTATION_DATA names them. The
cluster is that of RAY_ADDRESS, or else this machine.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

from lib import ROOT
from lib.config import UsageError
from lib.files import write_atomically
from report.build import execute
from report.plan import Execution, ReportError

NOT_SENT = ["build", "data", ".venv", ".git", "report/published"]


def run(jobs: list[Execution], out: Path) -> None:
    """Execute these jobs on the cluster; raise ReportError for those that failed, at the end."""
    try:
        import ray
    except ImportError as error:
        raise UsageError("--executor ray: Ray is not installed; pip install ray") from error
    environment = {"working_dir": str(ROOT), "excludes": NOT_SENT}
    ray.init(runtime_env=environment, log_to_driver=False, logging_level="error")
    failed = []
    try:
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(_on_worker)
        waiting = {task.remote(job, str(ROOT), str(out)): job for job in jobs}
        while waiting:
            (done,), _ = ray.wait(list(waiting))
            job = waiting.pop(done)
            try:
                written = ray.get(done)
            except (ray.exceptions.RayError, ReportError) as error:
                failed.append(f"{job.target.name}: {str(error).strip().splitlines()[-1]}")
                continue
            # The record comes last: with it the run counts as done.
            for name in sorted(written, key=lambda name: name.endswith("record.json")):
                write_atomically(out / name, written[name])
            print(f"{job.target.name:32} back from the cluster", flush=True)
    finally:
        ray.shutdown()
    if failed:
        reasons = "\n  ".join(failed)
        raise ReportError(f"on the cluster\n  {reasons}\nthe same command runs these again")


def _on_worker(job: Execution, root: str, out: str) -> dict[str, bytes]:
    """Execute the job in a folder of its own; return path within the output -> what it wrote."""
    inside = job.source.is_relative_to(root)
    source = ROOT / job.source.relative_to(root) if inside else job.source
    with tempfile.TemporaryDirectory() as folder:
        target, record = (Path(folder) / each.relative_to(out) for each in (job.target, job.record))
        parameters = job.parameters | {"out": folder}
        execute(replace(job, source=source, target=target, record=record, parameters=parameters))
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in Path(folder).rglob("*")
            if path.is_file() and path.suffix != ".pt" and not path.name.startswith(".")
        }
