"""One file for each data set: its classes, its layout on disk, its splits, what introduces it.

`SOURCES` has a `lib.datasets.pairs.Known` for every name. The `root` that it opens is the folder
that holds the data set, or nothing: then the environment variable SEGMENTATION_DATA counts, else
data/ in the project. A data set with variants (a drive left out, doses of noise) has a row for each
in its file's own SOURCES.

What all of them need: `pairs` (files), `storage` (pixels), `dataset` (a split), `batches` (of a
training), `processes` (that share images), and the commands `check` and `split`.
"""

from lib.datasets import camvid, carla, cityscapes, folder, scenes

MODULES = {
    "scenes": scenes, "camvid": camvid, "carla": carla, "cityscapes": cityscapes, "folder": folder,
}
SOURCES = {name: known for module in MODULES.values() for name, known in module.SOURCES.items()}


def family(dataset: str) -> str:
    """Return the data set that this one is a form of: "camvid" for "camvid-without-0001TP"."""
    return dataset.split("-")[0]
