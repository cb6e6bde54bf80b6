"""Arrays in, arrays out: NumPy, SciPy and scikit-image; no Keras, napari or Qt."""
