"""One command for all trainings: a queue in order of worth, to be stopped and taken up at any time.

    python -m lib.studies.queue D1 D2 D3 D5 D6 D4 --out build/designs --workers 2
    python -m lib.studies.queue D1 D2 D3 D5 D6 D4 --out build/designs --collect report/published
    python -m lib.studies.queue scenes camvid D1 D2 --out build/queue --budget 9m --pack build/pack

Names are designs (`lib.studies.designs`) and profiles. Each training is a process of its own at low
priority; what is measured of its network comes after it. What is recorded is skipped, what was
interrupted continues, and what another process has locked waits until that one lets go.

A seed keeps the precision in which it was begun. On a GPU a wide network has the device to itself
and trains all seeds in one process; narrow ones share it, and studies run beside both. With
`--budget` nothing is begun that cannot end, or reach a checkpoint, before the time is over. Ctrl-C
and SIGTERM stop trainings after their epoch, a second one at once.
"""

import argparse
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from lib import ROOT
from lib.config import UsageError
from lib.files import locked, write_json
from lib.machine import PRECISION, processors
from lib.records import RECORD, Run
from lib.studies.carry import collect, pack_records
from lib.studies.designs import DOSES, MEASURE, STUDY, TRAIN, Task, jobs, trainings
from lib.train import STOPPED, UNTIL

LOWEST_PRIORITY = 19
ENOUGH = 3  # failures one after the other
HELPERS = 4  # studies side by side on a GPU, beside the trainings
POLL = 0.3  # seconds between two looks at the processes
GRACE = 20.0  # seconds that processes have to stop after an epoch
MARGIN = 15.0  # seconds of a budget for the last checkpoints and for packing
EXPECTED = {TRAIN: 60.0, STUDY: 90.0, DOSES: 60.0, MEASURE: 120.0}  # seconds on a GPU
TIMES = "times.json"  # seconds that each kind of process took, in the folder of the records


class Runner:
    """Start processes while there is room and time for them, and end them when there is not."""

    def __init__(self, out: Path, pending: list[Task], options: argparse.Namespace):
        self.out, self.pending = out, pending
        self.on_gpu = torch.cuda.is_available()
        self.workers = options.workers or (min(8, processors() // 2) if self.on_gpu else 2)
        self.threads = options.threads
        self.until = time.time() + options.budget if options.budget else float("inf")
        self.running: dict[subprocess.Popen, tuple[Task, float]] = {}
        self.failed, self.in_a_row, self.ending = 0, 0, False
        path = out / TIMES
        self.times: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}

    def run(self) -> int:
        """Work through the queue; return the exit status."""
        while self.pending or self.running:
            self._reap()
            self.pending = [job for job in self.pending if not job.done()]
            late = time.time() > self.until - MARGIN / 2
            if late or not (self.running or self._startable()):
                break
            job = self._next()
            if job:
                self._start(job)
            else:
                time.sleep(POLL)
        self.end()
        if self.failed:
            return 1
        return STOPPED if self.pending else 0

    def _startable(self) -> list[Task]:
        """Return the processes that are left and may be started, now or when there is room."""
        if self.in_a_row >= ENOUGH:
            return []
        left = self.until - MARGIN - time.time()
        return [job for job in self.pending if job.ready() and self._expected(job) < left]

    def _expected(self, job: Task) -> float:
        """Return the seconds after which the process has something to show for itself."""
        if job.kind == TRAIN:
            return EXPECTED[TRAIN] if self.on_gpu else 1.0  # it can stop after any epoch
        return self.times.get(job.timed_as, EXPECTED[job.kind])

    def _next(self) -> Task | None:
        """Return the first process for which there are room and time; None where it has to wait."""
        for job in self._startable():
            if _locked_by_another(job):
                continue
            if self._has_room(job):
                return job
            if job.kind == MEASURE or not self.on_gpu:
                return None  # nothing overtakes it
        return None

    def _has_room(self, job: Task) -> bool:
        """Return whether the process may run beside those that are running."""
        running = [other for other, _ in self.running.values()]
        if MEASURE in [other.kind for other in [job, *running]]:
            return not running
        if not self.on_gpu:
            return len(running) < self.workers
        trained = [other for other in running if other.kind == TRAIN]
        if job.kind != TRAIN:
            return len(running) - len(trained) < HELPERS
        if any(other.wide for other in [job, *trained]):
            return not trained
        return len(trained) < self.workers

    def _start(self, job: Task) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": str(self.threads), "TQDM_DISABLE": "1"}
        if self.until < float("inf"):
            environment[UNTIL] = str(self.until - MARGIN)
        if "float32" in self._precisions(job):
            environment[PRECISION] = "float32"
        log = self._log(job)
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "a") as output:
            process = subprocess.Popen(
                job.command, env=environment, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=_as_a_child)
        self.running[process] = job, time.monotonic()
        self.pending.remove(job)

    def _precisions(self, job: Task) -> set[str]:
        """Return the precisions of the recorded trainings of this part and seed."""
        first = job.trainings[0]
        records = (self.out / first.part.name / "runs").glob(f"*/seed-{first.seed}/{RECORD}")
        return {Run.read(path.parent).record["precision"] for path in records}

    def _log(self, job: Task) -> Path:
        return self.out / "logs" / (re.sub(r"\W+", "-", str(job)) + ".log")

    def _reap(self) -> None:
        """Take note of the processes that have ended."""
        for process in [process for process in self.running if process.poll() is not None]:
            job, start = self.running.pop(process)
            seconds = time.monotonic() - start
            stopped = self.ending or process.returncode == STOPPED
            if job.done():
                self.in_a_row = 0
                self.times[job.timed_as] = seconds
                write_json(self.out / TIMES, self.times)
                print(f"{job}: {seconds:.0f} s", flush=True)
            elif stopped or _locked_by_another(job):
                self.pending.insert(0, job)  # later, when time or another process allows it
            else:
                self._report_failure(job, f"status {process.returncode} after {seconds:.0f} s")

    def _report_failure(self, job: Task, how: str) -> None:
        self.failed += 1
        self.in_a_row += 1
        log = self._log(job)
        last = (log.read_text().splitlines() or ["no output"])[-1]
        print(f"{job}: failed with {how} ({last}); see {log}", file=sys.stderr, flush=True)
        if self.in_a_row == ENOUGH:
            print(f"{ENOUGH} failed one after the other: nothing more is started", file=sys.stderr)

    def end(self) -> None:
        """Let trainings stop after their epoch, and end what does not within `GRACE`."""
        self.ending = True
        deadline = min(time.time() + GRACE, self.until)
        self._signal(signal.SIGTERM)
        try:
            while self.running and time.time() < deadline:
                time.sleep(0.1)
                self._reap()
        finally:
            self._signal(signal.SIGKILL)
            while self.running:
                self._reap()

    def _signal(self, number: int) -> None:
        for process in self.running:
            if process.poll() is None:
                os.killpg(process.pid, number)


def _locked_by_another(job: Task) -> bool:
    """Return whether another process has locked a folder that this training would write to."""
    folders = [path.parent for path in job.results if job.kind == TRAIN]
    try:
        for folder in [folder for folder in folders if (folder / ".lock").exists()]:
            with locked(folder, "is trained"):
                pass
    except BlockingIOError:
        return True
    return False


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _as_a_child() -> None:
    """Give a new process low priority, and let it end when the one that started it is gone."""
    os.setpriority(os.PRIO_PROCESS, 0, LOWEST_PRIORITY)
    if _libc:
        _libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def duration(text: str) -> float:
    """Return the seconds of a text such as "9m", "90s" or "90"."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a time such as 9m, 90s or 1h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status.

    That is 0 when everything is there, 1 when something failed, 75 when time ended before, and 130
    after Ctrl-C or SIGTERM.
    """
    text = __doc__.splitlines()[0]
    parser = argparse.ArgumentParser("python -m lib.studies.queue", description=text)
    add = parser.add_argument
    add("names", nargs="+", metavar="NAME", help="designs D1 to D6, and profiles")
    add("--out", required=True, type=Path, metavar="DIR", help="where records go")
    add("--data-root", metavar="DIR", help="the folder that holds CamVid")
    add("--workers", type=int, help="processes side by side (default: 2, more on a GPU)")
    add("--threads", type=int, default=1, help="threads of each (default: 1)")
    add("--budget", type=duration, metavar="TIME", help="end after 9m, 90s or 1h")
    add("--pack", type=Path, metavar="DIR", help="pack what is finished as tar files")
    add("--collect", type=Path, metavar="DIR", help="copy the records, start nothing")
    options = parser.parse_args(arguments)
    out = options.out.resolve()
    try:
        queue = jobs(options.names, out, options.data_root, torch.cuda.is_available())
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    status = 0 if options.collect else _work(Runner(out, queue, options))
    records = [training.record(out) for training in trainings(options.names)]
    recorded = [path for path in records if path.exists()]
    print(f"{len(recorded)} of {len(records)} trainings are on record")
    if options.collect:
        collect(recorded, out, options.collect.resolve())
    if options.pack:
        packed, left = pack_records(out, options.pack.resolve())
        print(f"{packed} files packed into {options.pack}, {left} left for the next time")
    return status


def _work(runner: Runner) -> int:
    """Run until the end, Ctrl-C or SIGTERM; return the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return runner.run()
    except KeyboardInterrupt:
        runner.end()
        print("stopped: the same command goes on from the last checkpoints", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
