"""Entry points of the `ivadomed_*` commands."""
