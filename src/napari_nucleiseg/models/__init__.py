"""The network and its files: core plus an inference runtime; Keras only to train."""
