"""Files: images, label files, and writing a file whole or not at all."""

#: A plane with more than so many million pixels is refused, unless asked for.
MAX_MEGAPIXELS = 100.0
