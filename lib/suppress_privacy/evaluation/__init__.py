"""How good a reconstruction is, and how sure one can be of that."""
