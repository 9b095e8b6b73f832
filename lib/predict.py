"""Labels for anybody's photographs by a trained network.

    python -m lib.predict build/quick/runs/unet/seed-0 PHOTO... --out DIR

A PHOTO is a file, a folder (of a film's frames, say) or a pattern such as "trip/*.jpg". Of each,
DIR/NAME.png is the label map at the photograph's own size, indexed and with the classes' colours,
DIR/NAME-overlay.webp shows it over the photograph, and DIR/shares.csv has the share of each class.
Exit status: 0, or 1 where something is wrong; a photograph that cannot be read stops no other.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from lib.datasets.pairs import Wrong
from lib.evaluation import load_model
from lib.files import write_atomically
from lib.machine import Machine
from lib.records import RECORD, WEIGHTS, Run
from lib.studies.photographs import Network, photographs, training_command

ROWS = 20  # of the printed table


def load_network(folder: str | Path) -> Network:
    """Return the network of a run's folder, such as build/quick/runs/unet/seed-0.

    Raises FileNotFoundError for a folder that holds no run or a run without weights, with the
    command that trains it; ValueError for weights that are damaged or of another network.
    """
    folder = Path(folder)
    if not (folder / RECORD).exists():
        expected = "expected the folder of a run, such as build/quick/runs/unet/seed-0"
        raise FileNotFoundError(f"{folder}: no {RECORD}; {expected}")
    run = Run.read(folder)
    if not (folder / WEIGHTS).exists():
        text = f"{folder}: no {WEIGHTS} (published records have none); make them with"
        raise FileNotFoundError(f"{text}: {training_command(run)}")
    model = load_model(folder, run.variant, run.config["base_channels"], len(run.classes))
    machine, dataset = Machine.detect(), run.record["dataset"]
    size, original = dataset["size"], dataset.get("original_size", dataset["size"])
    return Network(machine.place(model), run.classes, tuple(size), tuple(original), machine)


def predict(network: Network, places: list[str], out: Path) -> int:
    """Label all photographs, print and write the shares; return how many things were wrong."""
    files, lines = photographs(places)
    rows = {}
    for name, path in files.items():
        try:
            rows[name] = network.write(path, out)
        except Wrong as wrong:
            lines.append(str(wrong))
    if rows:
        table = pd.DataFrame.from_dict(rows, orient="index", columns=network.classes.names)
        write_atomically(out / "shares.csv", table.to_csv(index_label="name").encode())
        print(table.iloc[:ROWS].map("{:.1%}".format).to_string())
        print(f"{len(rows)} of {len(files)} photographs are in {out}")
    for line in lines:
        print(f"error: {line}", file=sys.stderr)
    return len(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    description = __doc__.splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m lib.predict", description=description)
    parser.add_argument("run", help="the folder of a run with its weights")
    parser.add_argument("photos", nargs="*", metavar="PHOTO", help="a file, a folder or a pattern")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where labels go")
    parser.add_argument("--onnx", type=Path, metavar="FILE", help="write the network in ONNX")
    options = parser.parse_args(arguments)
    if bool(options.photos) != bool(options.out) or not (options.photos or options.onnx):
        parser.error("expected photographs with --out DIR, or --onnx FILE, or both")
    try:
        network = load_network(options.run)
        wrong = predict(network, options.photos, options.out) if options.photos else 0
        if options.onnx:
            network.export(options.onnx)
            print(f"{options.onnx}: image float32 (1, 3, {network.size[0]}, {network.size[1]})")
    except (ValueError, OSError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
