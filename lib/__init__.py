"""Semantic segmentation using U-Net: networks, data, training, metrics and the report made from them."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # relative data and output folders are taken from here
