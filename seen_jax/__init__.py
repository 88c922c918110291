"""SEEN in JAX: event-based emotion recognition from a single eye.

Axis letters used in every docstring of this package:

  B  examples in a batch          N  frames in a clip
  T  event frames in a window     H, W  rows and columns of an image
  C  channels                     K  emotions (classes), 7
"""
