"""One file for each data set, with its classes, its layout on disk and its splits; `SOURCES` has them all.

A source takes (root, split, size) and gives a `lib.datasets.pairs.Source`. `root` is the folder that holds
the data set, or nothing: then the environment variable SEGMENTATION_DATA counts, else data/ in the project.
A data set with variants (a drive left out, doses of noise) has a row for each in its file's own SOURCES.
"""

from lib.datasets import camvid, carla, cityscapes, folder, scenes

MODULES = {"scenes": scenes, "camvid": camvid, "carla": carla, "cityscapes": cityscapes, "folder": folder}
SOURCES = {name: source for module in MODULES.values() for name, source in module.SOURCES.items()}
