"""Labels for anybody's photographs by a trained network.

    python -m lib.predict build/quick/runs/unet/seed-0 PHOTO... --out DIR

A PHOTO is a file, a folder (of a film's frames, say) or a pattern such as "trip/*.jpg". Of each,
DIR/NAME.png is the label map at the photograph's own size, indexed and with the classes' colours,
DIR/NAME-overlay.webp shows it over the photograph, and DIR/shares.csv has the share of each class.
Exit status: 0, or 1 where something is wrong; a photograph that cannot be read stops no other.
"""

import argparse
import glob
import sys
from pathlib import Path

import pandas as pd

from lib.datasets.pairs import Wrong, by_stem
from lib.files import write_atomically
from lib.predict import Network, load_network

ROWS = 20  # of the printed table


def photographs(places: list[str]) -> tuple[dict[str, Path], list[str]]:
    """Return the files of paths, folders and patterns by stem, and a line for what is wrong."""
    files, lines = {}, []
    for place in places:
        path = Path(place)
        more = [path] if path.is_file() else [Path(name) for name in sorted(glob.glob(place))]
        if path.is_dir():
            try:
                images, strange = by_stem(path)
            except FileNotFoundError as error:
                images, strange = {}, [str(error)]
            more, lines = list(images.values()), lines + strange
        elif not more:
            lines.append(f"{place}: no such file; expected a photograph, a folder or a pattern")
        for file in more:
            if file.stem in files:
                first = files[file.stem]
                lines.append(f"{file}: the same stem as {first}; give each another --out")
            files.setdefault(file.stem, file)
    return files, lines


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
        print(f"{out}: {len(rows)} of {len(files)} photographs labelled")
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
