"""Advice on the reference: held-out probabilities and features of polygons → polygons to check, fields to visit."""
