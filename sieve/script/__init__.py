"""Sieve as a typed tree: the tree, its one printer, its parser, and what a server is capable of."""
