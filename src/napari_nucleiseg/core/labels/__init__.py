"""Labels drawn by hand: pairs with an image, what is known, checks, held-out parts."""
