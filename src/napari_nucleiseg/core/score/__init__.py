"""How good labels are, beside true ones."""
