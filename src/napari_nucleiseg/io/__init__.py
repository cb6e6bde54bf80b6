"""Files: images, label files, and writing a file whole or not at all."""
