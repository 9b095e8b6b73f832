"""From notebooks to the report: `python -m report --profile quick --out DIR`.

Executes what is missing or outdated (`report.build`), renders DIR/report.html (`report.page`) and
DIR/report.pdf (`report.pdf`), and checks that everything that the report promises is there. Exit
status: 0 when it is, 1 when something failed (what was there before stays as it was), 2 for a wrong
argument, 130 after Ctrl-C.
"""

import argparse
import json
import sys
from itertools import groupby
from pathlib import Path

from lib import ROOT
from lib.config import UsageError, parse_value, read_profile
from lib.datasets import check
from lib.files import locked, write_atomically
from report import cluster
from report.build import execute_all
from report.plan import Execution, ReportError, plan

BUILD = "build.json"  # what DIR was made with: --only render takes it up again
CLEAR_LINE = "\r\x1b[K"  # for a terminal
STOPPED = "\nstopped: whatever was finished is kept, and the same command goes on from there"
EPILOG = (
    "Profiles are described at the top of notebooks/profiles/*.yaml. "
    "`python -m report check --help`: looks for what is wrong with a data set."
)
ONLY = (
    "render: train nothing, rebuild the documents from the records in DIR, by default with the "
    "profile and parameters that DIR was made with; execute: train and execute, and leave the "
    "documents to a machine that has a browser"
)


def command_line() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m report",
        description="Trains what is missing, executes the notebooks, writes one HTML and one PDF.",
        epilog=EPILOG,
    )
    add = parser.add_argument
    add("--profile", metavar="NAME", help="data set, sizes and seeds (default: quick)")
    add("--out", metavar="DIR", type=Path, required=True, help="where everything goes")
    add("-p", nargs=2, metavar=("NAME", "VALUE"), action="append", default=[], dest="parameters",
        help="another value for a parameter of the profile; may be repeated")  # fmt: skip
    add("--only", choices=["render", "execute"], help=ONLY)
    add("--install-browser", action="store_true",
        help="install Chromium, which prints the PDF, where there is no browser")  # fmt: skip
    add("--executor", choices=["here", "ray"], default="here", help="ray: train on a Ray cluster")
    return parser


def main(arguments: list[str] | None = None, notebooks: Path = ROOT / "notebooks") -> int:
    """Run the command line; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments[:1] == ["check"]:
            return check.main(arguments[1:])
        _make(command_line().parse_args(arguments), notebooks)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (ReportError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        return 130
    return 0


def _make(options: argparse.Namespace, notebooks: Path) -> None:
    out, only_render = options.out.resolve(), options.only == "render"
    profile, overrides = _profile(options, out)
    values = read_profile(profile, notebooks / "profiles")
    jobs = plan(notebooks, out, profile, values, overrides)
    missing = [job for job in jobs if job.record and not job.record.exists()]
    if only_render and missing:
        names = "\n  ".join(str(job.record) for job in missing)
        raise ReportError(
            f"--only render trains nothing, and these records are missing:\n  {names}\n"
            f"make them with: python -m report --profile {profile} --out {options.out}"
        )
    with locked(out, "builds a report"):
        settings = {"profile": profile, "parameters": overrides}
        write_atomically(out / BUILD, json.dumps(settings).encode())
        if options.executor == "ray" and not only_render:
            cluster.run(missing, out)
        for _, group in groupby(jobs, company):
            _bring_up_to_date(list(group), only_render)
        if options.only != "execute":
            _write_documents(jobs, out, options.install_browser)
        _check_contract(jobs, out)


def _profile(options: argparse.Namespace, out: Path) -> tuple[str, dict]:
    """Return profile and parameters as asked, or for --only render alone as they were."""
    overrides = {name: parse_value(value) for name, value in options.parameters}
    asked = options.profile or overrides or options.only != "render"
    if asked or not (out / BUILD).exists():
        return options.profile or "quick", overrides
    before = json.loads((out / BUILD).read_text())
    return before["profile"], before["parameters"]


def company(job: Execution) -> object:
    """Return what is equal of notebooks in a row that may run side by side."""
    return job.target if job.alone else (bool(job.record), job.reads)


def _bring_up_to_date(jobs: list[Execution], only_render: bool) -> None:
    """Execute those of these notebooks that need be; raise ReportError for what failed, at the end.

    --only render leaves the copy of one that needs a data set which is not there.
    """
    stale, failed = [job for job in jobs if not job.up_to_date()], []
    for job in jobs:
        if job not in stale:
            _tell(job, "up to date")
    for job, outcome in execute_all(stale, offline=only_render):
        needs_data = not job.record and not job.reads
        if not isinstance(outcome, ReportError):
            _tell(job, f"{outcome:6.1f} s")
        elif only_render and needs_data and job.target.exists():
            job.partial.unlink(missing_ok=True)
            _tell(job, "stays as it was: " + str(outcome).split(" (the notebook as far")[0])
        else:
            failed.append(str(outcome))
    if failed:
        raise ReportError("\n".join(dict.fromkeys(failed)))


def _tell(job: Execution, outcome: str) -> None:
    """Print how a notebook's execution went, over the bar of a network that trains."""
    clear = CLEAR_LINE if sys.stdout.isatty() else ""
    print(f"{clear}{job.target.name:32} {outcome}", flush=True)


def _write_documents(jobs: list[Execution], out: Path, install: bool) -> None:
    from report import pdf  # what only the documents need may be absent elsewhere
    from report.page import render

    page, printed = out / "report.html", out / "report.pdf"
    chapters = [job.target for job in jobs if job.target.name == job.source.name]
    write_atomically(page, render(chapters).encode())
    if install and not pdf.find_browser():
        pdf.install_browser()
    if not pdf.up_to_date(page, printed):
        write_atomically(printed, pdf.print_pdf(page))
    for path in (page, printed):
        print(f"{path.name:32} {path.stat().st_size / 1e6:6.2f} MB", flush=True)


def _check_contract(jobs: list[Execution], out: Path) -> None:
    """Raise ReportError if a figure or a record that the report promises is not there."""
    variants = dict.fromkeys(job.parameters["variant"] for job in jobs if job.record)
    names = ["loss_curves", "test_metric", *(f"predictions/{variant}" for variant in variants)]
    promised = [out / "figures" / f"{name}.png" for name in names]
    promised += [job.record for job in jobs if job.record]
    if missing := [str(path) for path in promised if not path.exists()]:
        raise ReportError("the notebooks ran but did not write\n  " + "\n  ".join(missing))


if __name__ == "__main__":
    sys.exit(main())
