"""From an image to labelled nuclei; arrays only."""
