"""Network trainings on a Ray cluster (Moritz et al. 2018): `python -m report --executor ray`.

Every execution of a network's notebook that has no record yet becomes a task with one GPU of its own, or one processor
where the cluster has no GPU. The project travels to the workers as it is here; what a notebook wrote, records, figures
and its executed copy, comes back through the object store, so that no disk is shared. Weights and locks stay there.
A lost worker or a failed notebook costs its own run alone: everything else is kept, and the next call runs what is missing.
Data sets that are not drawn must lie on the workers, where `data_root` or SEGMENTATION_DATA names them. The cluster is
that of RAY_ADDRESS, or else this machine.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

from lib import ROOT
from lib.config import UsageError
from lib.files import write_atomically
from report.build import Job, ReportError, execute

NOT_SENT = ["build", "data", ".venv", ".git", "report/published"]


def run(jobs: list[Job], out: Path) -> None:
    """Executes these jobs on the cluster; ReportError names those that failed, after all others are back."""
    try:
        import ray
    except ImportError as error:
        raise UsageError("--executor ray: Ray is not installed; pip install ray") from error
    ray.init(runtime_env={"working_dir": str(ROOT), "excludes": NOT_SENT}, log_to_driver=False, logging_level="error")
    try:
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(_on_worker)
        waiting = {task.remote(job, str(ROOT), str(out)): job for job in jobs}
        failed = []
        while waiting:
            (done,), _ = ray.wait(list(waiting))
            job = waiting.pop(done)
            try:
                _keep(ray.get(done), out)
                print(f"{job.target.name:32} back from the cluster", flush=True)
            except (ray.exceptions.RayError, ReportError) as error:
                failed.append(f"{job.target.name}: {str(error).strip().splitlines()[-1]}")
    finally:
        ray.shutdown()
    if failed:
        raise ReportError("on the cluster\n  " + "\n  ".join(failed) + "\nwhat the others found is kept; the same command "
                          "runs these again")


def _on_worker(job: Job, root: str, out: str) -> dict[str, bytes]:
    """Executes the job in a folder of its own: path within the output -> content of everything it wrote."""
    source = ROOT / job.source.relative_to(root) if job.source.is_relative_to(root) else job.source
    with tempfile.TemporaryDirectory() as folder:
        target, record = (Path(folder) / path.relative_to(out) for path in (job.target, job.record))
        execute(replace(job, source=source, target=target, record=record, parameters=job.parameters | {"out": folder}))
        return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*")
                if path.is_file() and path.suffix != ".pt" and not path.name.startswith(".")}


def _keep(files: dict[str, bytes], out: Path) -> None:
    """Writes what came back, the records last, as a training does."""
    for name in sorted(files, key=lambda name: name.endswith("record.json")):
        write_atomically(out / name, files[name])
