"""From notebooks to the report: `python -m report --profile quick --out DIR`.

Executes what is missing or outdated (`report.build`), renders DIR/report.html (`report.page`) and DIR/report.pdf
(`report.pdf`), and then looks whether everything that the report promises is there. Exit status: 0 when it is,
1 when something failed (what was there before stays as it was), 2 for a wrong argument, 130 after Ctrl-C.
"""

import argparse
import json
import sys
from pathlib import Path

from lib import ROOT
from lib.config import UsageError, parse_value, read_profile
from lib.datasets import check
from lib.files import locked, write_atomically
from report import cluster
from report.build import Job, ReportError, execute, plan

SETTINGS = "build.json"  # what DIR was made with: --only render takes it up again


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m report", description="Trains what is missing, executes the notebooks and writes one "
        "HTML and one PDF.", epilog="Profiles are described at the top of notebooks/profiles/*.yaml. "
        "`python -m report check --help`: looks for what is wrong with a data set.")
    parser.add_argument("--profile", metavar="NAME", help="data set, sizes and seeds (default: quick)")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="where everything goes")
    parser.add_argument("-p", nargs=2, metavar=("NAME", "VALUE"), action="append", default=[], dest="parameters",
                        help="another value for a parameter of the profile; may be repeated")
    parser.add_argument("--only", choices=["render", "execute"], help="render: train nothing, rebuild the documents from "
                        "the records in DIR, by default with the profile and parameters that DIR was made with; execute: "
                        "train and execute, and leave the documents to a machine that has a browser")
    parser.add_argument("--install-browser", action="store_true", help="install Chromium, which prints the PDF, if "
                        "neither it nor Chrome is there")
    parser.add_argument("--executor", choices=["here", "ray"], default="here", help="ray: train on a Ray cluster")
    return parser


def main(arguments: list[str] | None = None, notebooks: Path = ROOT / "notebooks") -> int:
    """The command line; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments[:1] == ["check"]:
            return check.main(arguments[1:])
        options = parser().parse_args(arguments)
        out, only_render = options.out.resolve(), options.only == "render"
        profile, overrides = _settings(options, out)
        jobs = plan(notebooks, out, profile, read_profile(profile, notebooks / "profiles"), overrides)
        if only_render:
            _require_records(jobs, f"python -m report --profile {profile} --out {options.out}")
        with locked(out, "builds a report"):
            write_atomically(out / SETTINGS, json.dumps({"profile": profile, "parameters": overrides}).encode())
            if options.executor == "ray" and not only_render:
                cluster.run([job for job in jobs if job.record and not job.record.exists()], out)
            for job in jobs:
                _bring_up_to_date(job, only_render)
            if options.only != "execute":
                _write_documents(jobs, out, options.install_browser)
            _check_contract(jobs, out)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (ReportError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped: whatever was finished is kept, and the same command goes on from there", file=sys.stderr)
        return 130
    return 0


def _write_documents(jobs: list[Job], out: Path, install: bool) -> None:
    from report import pdf  # what only the documents need may be absent where notebooks are executed
    from report.page import render

    chapters = [job.target for job in jobs if job.target.name == job.source.name]
    write_atomically(out / "report.html", render(chapters, out).encode())
    _tell_size(out / "report.html")
    if install and not pdf.find_browser():
        pdf.install_browser()
    if not pdf.up_to_date(out / "report.html", out / "report.pdf"):
        write_atomically(out / "report.pdf", pdf.print_pdf(out / "report.html"))
    _tell_size(out / "report.pdf")


def _settings(options: argparse.Namespace, out: Path) -> tuple[str, dict]:
    """Profile and parameters as asked, or for --only render alone as they were."""
    overrides = {name: parse_value(value) for name, value in options.parameters}
    if options.only == "render" and not options.profile and not overrides and (out / SETTINGS).exists():
        try:
            before = json.loads((out / SETTINGS).read_text())
            return before["profile"], before["parameters"]
        except (ValueError, KeyError, TypeError) as error:
            raise ReportError(f"{out / SETTINGS}: not readable ({error}); name the --profile again") from error
    return options.profile or "quick", overrides


def _require_records(jobs: list[Job], command: str) -> None:
    missing = [str(job.record) for job in jobs if job.record and not job.record.exists()]
    if missing:
        raise ReportError("--only render trains nothing, and these records are missing:\n  " + "\n  ".join(missing)
                          + f"\nmake them with: {command}")


def _bring_up_to_date(job: Job, only_render: bool) -> None:
    """Executes the notebook if need be; --only render keeps the copy of one that needs data which is not here."""
    if job.up_to_date():
        print(f"{job.target.name:32} up to date", flush=True)
        return
    try:
        print(f"{job.target.name:32} {execute(job, offline=only_render):6.1f} s", flush=True)
    except ReportError as error:
        needs_data = not job.record and not job.reads
        if not (only_render and needs_data and job.signature()):
            raise
        job.partial.unlink(missing_ok=True)
        print(f"{job.target.name:32} kept as it was: {str(error).splitlines()[0]}", flush=True)


def _tell_size(path: Path) -> None:
    print(f"{path.name:32} {path.stat().st_size / 1e6:6.2f} MB", flush=True)


def _check_contract(jobs: list[Job], out: Path) -> None:
    variants = dict.fromkeys(job.parameters["variant"] for job in jobs if job.record)
    figures = ["loss_curves.png", "test_metric.png", *(f"predictions/{variant}.png" for variant in variants)]
    promised = [out / "figures" / name for name in figures] + [job.record for job in jobs if job.record]
    if missing := [str(path) for path in promised if not path.exists()]:
        raise ReportError("the notebooks ran but did not write\n  " + "\n  ".join(missing))


if __name__ == "__main__":
    sys.exit(main())
