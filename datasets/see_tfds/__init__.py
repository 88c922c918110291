"""The SEE dataset for TFDS."""

import sys
from pathlib import Path

# `tfds build` looks for this folder's modules only, and nothing of ours is installed:
# `seen_jax` lies beside `datasets`. Appended, so that an installed one comes first.
sys.path.append(str(Path(__file__).resolve().parents[2]))
