"""How good labels are, compared with true ones."""
