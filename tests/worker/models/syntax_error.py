"""A model that is no Python."""

def run(:
