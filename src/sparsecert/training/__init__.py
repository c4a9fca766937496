"""Fitting a base classifier to ablated inputs; needs no folder."""
