"""`python -m napari_nucleiseg` is `nucleiseg`."""

import sys

from napari_nucleiseg.cli import main

if __name__ == "__main__":
    sys.exit(main())
