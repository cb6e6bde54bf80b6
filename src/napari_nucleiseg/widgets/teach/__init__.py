"""The widget that teaches the model in a loop, on the images that are open."""
