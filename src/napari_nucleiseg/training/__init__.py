"""From pairs of image and labels to a model that is kept or not."""
