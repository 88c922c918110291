"""SEEN in JAX: event-based emotion recognition from a single eye.

Axis letters, in every docstring of this package and in every einsum:

  B  examples in a batch          N  frames in a clip
  T  event frames in a window     I  intensity frames in a window
  H, W  rows and columns of an image
  U, V  rows and columns of blocks that differ, see `models.fast.geometry.Grid.alike`
  Y, X  rows and columns of a kernel, or of the patch that it reads
  P  the pixels of a patch, (Y, X) as one axis; M  its numbers, (P, I) as one axis
  C  channels                     D, E  channels one layer and two layers later
  R  red, green and blue: the three equal channels of a grey image
  S  the three scales of the attention
  K  classes: their names, number and order come from the data
"""

__version__ = "1.0.0"
