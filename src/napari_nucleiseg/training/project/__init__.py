"""A project: examples, and the models that they taught, round by round."""
