"""Say where the command has moved."""

import sys

sys.exit("python -m lib.report has moved: python -m report takes the same options")
