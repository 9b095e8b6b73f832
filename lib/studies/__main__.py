"""Make the studies of trained networks that are on record, where their weights are still at hand.

    python -m lib.studies build/designs/camvid --seeds 10 11 12 --data-root DIR

Every run in or below the folders gets its studies.npz; one that has it, of the same size and
edition, is left as it is. Exit status: 0 when every run has its studies, 1 when one failed or has
no weights.
"""

import sys

from lib.records import WEIGHTS, Run
from lib.studies import study
from lib.studies.command import for_each_run, parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    command = parser("lib.studies", __doc__)
    command.add_argument("--images", type=int, default=40, help="test images (default: 40)")
    command.add_argument(
        "--steps", type=int, default=16, help="steps of the deeper networks (default: 16)")
    options = command.parse_args(arguments)

    def work(run: Run) -> None:
        if not (run.folder / WEIGHTS).exists() and not run.studies:
            raise FileNotFoundError(f"{run.folder}: no {WEIGHTS}, so nothing can be measured")
        study(run, options.images, options.steps, options.data_root)

    return for_each_run(options, work, "studied")


if __name__ == "__main__":
    sys.exit(main())
