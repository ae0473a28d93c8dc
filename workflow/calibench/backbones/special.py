"""Backbones that are not in our list: those of timm, and none at all. Training imports this, not the lists in names.py."""

EMBEDDINGS = "embeddings"  # only a head, for a data set of features
TIMM = "timm."  # start of the names of timm's networks in a config
