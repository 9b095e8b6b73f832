"""The trainings of a profile from the command line, without notebooks: alone, or on several GPUs that train as one.

    python -m lib.train --profile camvid --out build/camvid                  every network, every seed
    torchrun --nproc-per-node 8 -m lib.train --profile camvid --out build/camvid -p variant unet -p seed 0

Settings have the names and meanings that they have in the notebooks, and records go to the same place: `lib.report`
with the same profile and folder finds them, trains nothing, and makes the report. What is recorded is skipped, what was
interrupted continues. Under `torchrun` all processes must see the data and the output folder.
"""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

import torch.distributed
import yaml

from lib import ROOT
from lib.models import VARIANTS
from lib.training import TrainConfig, fit


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0, or 1 after a failure, or 2 for a wrong argument."""
    parser = argparse.ArgumentParser(prog="python -m lib.train", description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="quick", metavar="NAME", help="a file of notebooks/profiles")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where records go")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), dest="parameters",
                        help="another value for a setting; variant and seed choose one network and one seed")
    options = parser.parse_args(arguments)
    path = ROOT / "notebooks" / "profiles" / f"{options.profile}.yaml"
    values = {"data_root": None} | (yaml.safe_load(path.read_text()) if path.exists() else {})
    values |= {name: yaml.safe_load(value) for name, value in options.parameters}
    known = {field.name for field in fields(TrainConfig)} | {"seeds", "extra", "data_root"}
    if not path.exists() or (wrong := sorted(values.keys() - known)):
        print(f"error: no profile {path}" if not path.exists() else f"error: -p {wrong[0]}: no such setting; there are "
              f"{', '.join(sorted(known))}", file=sys.stderr)
        return 2
    try:
        _train(values, options.out.resolve())
    except (ValueError, OSError, ArithmeticError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    return 0


def _train(values: dict, out: Path) -> None:
    data_root, seeds, extra = values.pop("data_root"), values.pop("seeds", [0]), values.pop("extra", [])
    seeds = [values.pop("seed")] if "seed" in values else seeds
    variants = [values.pop("variant")] if "variant" in values else [*VARIANTS, *extra]
    for seed in seeds:
        for variant in variants:
            fit(TrainConfig(variant=variant, seed=seed, **values), out, data_root)


if __name__ == "__main__":
    sys.exit(main())
