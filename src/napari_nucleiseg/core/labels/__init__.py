"""Labels to learn from: pairs, annotation masks, the check, the validation set."""
