"""Threads: forked processes do not wait for those of their parent."""

import os
import subprocess
import sys

import pytest

from lib import ROOT
from lib.machine import processors
from lib.runs import RECORD, run_folder

# One epoch on images of more than 32,768 pixels, above which torch divides its work among threads.
LARGE = {"image_size": "[192, 192]", "train_images": "4", "val_images": "2", "test_images": "3",
         "base_channels": "2", "epochs": "1", "variant": "unet", "seed": "0"}  # fmt: skip


@pytest.mark.skipif(processors() < 2, reason="one processor forks nothing")
def test_a_training_with_several_threads_ends(tmp_path):
    """It used to wait for ever in the forks that count structure, for threads that no fork has."""
    settings = [word for item in LARGE.items() for word in ("-p", *item)]
    command = [sys.executable, "-m", "lib.train", "--profile", "smoke", "--out", tmp_path]
    environment = os.environ | {"OMP_NUM_THREADS": "2", "TQDM_DISABLE": "1"}
    done = subprocess.run([*command, *settings], cwd=ROOT, env=environment, text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "epoch   1/1" in done.stdout and (run_folder(tmp_path, "unet", 0) / RECORD).exists()
