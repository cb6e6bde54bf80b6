"""Maps to labels, a block at a time, as if the image were one piece.

Labels are never joined at the faces of blocks. Every block finds out, from as much of
the maps around it as it takes, which basin each of its pixels belongs to; a basin is
known by the position of the first pixel of its seed in the image, which is the same in
whatever block one looks (`basins`). What depends on whole nuclei, which basins are one
nucleus and which are too small, is decided afterwards, from figures of all blocks
(`joining`). Then holes are filled and nuclei are measured, again by block (`settling`).
"""
