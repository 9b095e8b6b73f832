"""Notebooks -> executed notebooks: papermill runs what `report.plan` lists.

A notebook runs under NAME.partial.ipynb and is renamed when it is whole, so that a failure leaves
the copy that was there, and the partial one to look at. Networks this small leave most of a second
processor idle: on CPUs several notebooks run side by side, with their share of the threads.
"""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from multiprocessing.queues import SimpleQueue
from tempfile import TemporaryDirectory

import nbformat
import papermill
import torch
from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm
from traitlets.config import Config

from lib import ROOT
from lib.datasets.camvid import OFFLINE
from lib.files import write_atomically
from lib.machine import processors
from lib.models import build_model, multiply_adds
from lib.records import ANY_EDITION
from report.plan import Execution, ReportError

EPOCH = re.compile(r"^epoch +(\d+)/(\d+)  (.*)  [\d.]+ s$", re.MULTILINE)  # a line of `lib.train`
BAR = "{desc} {bar:20} {n_fmt}/{total_fmt} epochs, {postfix}, {remaining} left"
ADVICE = (
    "run again to go on from the last finished epoch; if memory ran out, with a smaller batch_size"
)
MOST = 4  # notebooks side by side: each has a copy of torch, a network and its data in memory


class Progress:
    """A bar on the terminal for a network that trains, from the lines that `lib.train` prints."""

    line = 0  # of the terminal, below where the cursor is

    def __init__(self, name: str):
        look = {"unit": "epoch", "leave": False, "disable": None, "bar_format": BAR}
        self.bar = tqdm(desc=f"{name:32}", position=self.line, **look)

    def write(self, text: str) -> None:
        for epoch, epochs, scores in EPOCH.findall(text):
            self.bar.total = int(epochs)
            self.bar.set_postfix_str(" ".join(scores.split()), refresh=False)
            self.bar.update(int(epoch) - self.bar.n)

    def flush(self) -> None:
        """Do nothing: a bar is written at once."""


class _RunningPython(AsyncKernelManager):
    """A kernel in this interpreter's environment, whatever kernelspecs are installed."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict(["--log-level=CRITICAL"]))

    async def _async_launch_kernel(self, command: list[str], **options: object) -> None:
        """Start the kernel without what drivers print that find no device; errors of cells stay."""
        await super()._async_launch_kernel(command, stderr=subprocess.DEVNULL, **options)


def execute(job: Execution, offline: bool = False) -> float:
    """Run the notebook and return its seconds; raise ReportError with the error of a cell.

    `offline` downloads nothing (`lib.datasets.camvid`) and reads records of any edition
    (`lib.train`), as the environment tells them.
    """
    start, name, fingerprint = time.monotonic(), job.target.name, job.fingerprint()
    progress = Progress(name)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    os.environ |= {"TQDM_DISABLE": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    os.environ |= dict.fromkeys((OFFLINE, ANY_EDITION), "1" if offline else "")
    # Sockets in a folder of their own: where kernels share one, two that start at once collide.
    sockets = TemporaryDirectory(prefix="kernel-")
    kernel = {"transport": "ipc", "connection_file": f"{sockets.name}/kernel.json"}
    try:
        papermill.execute_notebook(
            job.source,
            job.partial,
            job.parameters,
            kernel_name="python3",
            language="python",
            cwd=ROOT,
            progress_bar=False,
            stdout_file=progress,
            start_timeout=120,
            kernel_manager_class=_RunningPython,
            config=Config({"KernelManager": kernel}),
        )
    except PapermillExecutionError as error:
        reason = " ".join(re.sub(r"\x1b\[[\d;]*m", "", str(error.evalue)).split())
        cell = f"{name}, cell [{error.exec_count}]: {error.ename}: {reason}"
        raise ReportError(f"{cell} (the notebook as far as it came: {job.partial})") from error
    except (RuntimeError, TimeoutError) as error:  # a kernel that died or never answered
        raise ReportError(f"{name}: {error}; {ADVICE}") from error
    finally:
        progress.bar.close()
        sockets.cleanup()
    _publish(job, fingerprint)
    return time.monotonic() - start


def _publish(job: Execution, fingerprint: str) -> None:
    """Rename the partial notebook, signed, without times and paths of this machine."""
    if job.record and not job.record.exists():
        raise ReportError(f"{job.target.name}: it ended well but did not write {job.record}")
    node = nbformat.read(job.partial, 4)
    for holder in [node, *node.cells]:
        for key in ("papermill", "execution"):
            holder.metadata.pop(key, None)
    node.metadata["fingerprint"] = fingerprint
    write_atomically(job.target, (nbformat.writes(node).rstrip("\n") + "\n").encode())
    job.partial.unlink()


def execute_all(
    jobs: Sequence[Execution], offline: bool = False
) -> Iterator[tuple[Execution, float | ReportError]]:
    """Run the notebooks, which do not read each other; yield each, as it ends, with its seconds.

    On CPUs several run side by side. One that fails comes with its error, and costs no other.
    """
    workers = 1 if torch.cuda.is_available() else min(len(jobs), processors(), MOST)
    if workers < 2:
        for job in jobs:
            try:
                yield job, execute(job, offline)
            except ReportError as error:
                yield job, error
        return
    context = get_context("spawn")  # a fork would inherit the threads of torch and of papermill
    lines = context.SimpleQueue()
    for line in range(workers):
        lines.put(line)
    start = lines, processors() // workers
    with ProcessPoolExecutor(workers, context, initializer=_begin_worker, initargs=start) as pool:
        longest_first = sorted(jobs, key=arithmetic, reverse=True)  # so that both end together
        running = {pool.submit(execute, job, offline): job for job in longest_first}
        try:
            for future in as_completed(running):
                yield running[future], _result_of(future)
        except BaseException:  # Ctrl-C, most of all
            pool.shutdown(wait=False, cancel_futures=True)
            for process in active_children():
                os.kill(process.pid, signal.SIGINT)
            raise


def arithmetic(job: Execution) -> int:
    """Return the multiply-adds of a narrow network of the notebook's kind, 0 without a network."""
    if "variant" not in job.parameters:
        return 0
    with torch.device("meta"):
        return multiply_adds(build_model(job.parameters["variant"], base_channels=8), (64, 64))


def _begin_worker(lines: SimpleQueue, threads: int) -> None:
    """Begin a process that executes notebooks: it ends with its parent, and has a line and threads.

    What the user has set for the number of threads counts.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    Progress.line = lines.get()


def _result_of(future: Future) -> float | ReportError:
    """Return what a process returned or failed with."""
    try:
        return future.result()
    except ReportError as error:
        return error
    except BrokenProcessPool:
        return ReportError(f"a process was killed; {ADVICE}")
