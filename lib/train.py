"""The trainings of a profile from the command line, without notebooks: alone, or on several GPUs that train as one.

    python -m lib.train --profile camvid --out build/camvid                  every network, every seed
    torchrun --nproc-per-node 8 -m lib.train --profile camvid --out build/camvid -p variant unet -p seed 0

Settings have the names and meanings that they have in the notebooks, and records go to the same place: `report`
with the same profile and folder finds them, trains nothing, and makes the report. What is recorded is skipped, what was
interrupted continues. Under `torchrun` all processes must see the data and the output folder.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import torch.distributed

from lib import ROOT
from lib.config import TrainConfig
from lib.models import VARIANTS
from lib.profiles import parse_value, read_profile
from lib.training import fit


def parser(program: str, text: str) -> argparse.ArgumentParser:
    """Profile, output folder and other values: what the commands that train have in common."""
    options = argparse.ArgumentParser(prog=f"python -m {program}", description=text.splitlines()[0])
    options.add_argument("--profile", default="quick", metavar="NAME", help="a file of notebooks/profiles")
    options.add_argument("--out", required=True, type=Path, metavar="DIR", help="where records go")
    options.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), dest="parameters",
                         help="another value for a setting; variant and seed choose one network and one seed")
    return options


def settings(options: argparse.Namespace) -> dict:
    """The profile's values under the others; ValueError for a name that is none of a training's."""
    values = {"data_root": None, "extra": [], "seeds": [0]}
    known = {field.name for field in fields(TrainConfig)} | values.keys()
    profile = read_profile(options.profile, ROOT / "notebooks" / "profiles")
    values |= {name: value for name, value in profile.items() if name in known}
    values |= {name: parse_value(value) for name, value in options.parameters}
    if wrong := sorted(values.keys() - known):
        raise ValueError(f"-p {wrong[0]}: no such setting; there are {', '.join(sorted(known))}")
    return values


def command(work: Callable[[dict, Path], object], options: argparse.Namespace) -> int:
    """Does the work with the settings and the folder; 0, or 1 with one line when it fails."""
    try:
        work(settings(options), options.out.resolve())
    except (ValueError, TypeError, OSError, ArithmeticError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(train, parser("lib.train", __doc__).parse_args(arguments))


def train(values: dict, out: Path) -> None:
    """Every network with every seed, unless `variant` or `seed` chooses one."""
    data_root, seeds, extra = (values.pop(name) for name in ("data_root", "seeds", "extra"))
    seeds = [values.pop("seed")] if "seed" in values else seeds
    variants = [values.pop("variant")] if "variant" in values else [*VARIANTS, *extra]
    for seed in seeds:
        for variant in variants:
            fit(TrainConfig(variant=variant, seed=seed, **values), out, data_root)


if __name__ == "__main__":
    sys.exit(main())
