"""Make the studies of trained networks that are on record, where their weights are still at hand.

    python -m lib.studies build/designs/camvid --seeds 10 11 12 --data-root DIR

Every run below the folder with one of the seeds gets its studies.npz; one that has it, of the same size and
edition, is left as it is. Exit status: 0 when every run has its studies, 1 when one failed or has no weights.
"""

import argparse
import sys
from pathlib import Path

from lib.evaluation import WEIGHTS
from lib.records import load_runs
from lib.studies import study


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser("python -m lib.studies", description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="a folder with runs below it")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help="these alone (default: all)")
    parser.add_argument("--data-root", metavar="DIR", help="the folder that holds the data set")
    parser.add_argument("--images", type=int, default=40, help="test images (default: 40)")
    parser.add_argument("--steps", type=int, default=16, help="steps of the deeper networks (default: 16)")
    options = parser.parse_args(arguments)
    runs = load_runs(options.out.resolve())
    chosen = [run for run in runs if options.seeds is None or run.seed in options.seeds]
    failed = 0 if chosen else 1
    for run in chosen:
        if not (run.folder / WEIGHTS).exists() and not run.studies:
            print(f"error: {run.folder}: no {WEIGHTS}, so nothing can be measured", file=sys.stderr)
            failed += 1
            continue
        try:
            study(run, options.images, options.steps, options.data_root)
        except (ValueError, OSError) as error:
            print(f"error: {run.folder}: {error}", file=sys.stderr)
            failed += 1
            continue
        print(f"{run.title}, seed {run.seed}: studied", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
