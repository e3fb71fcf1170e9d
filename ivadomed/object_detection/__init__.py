"""Import path of ivadomed 2, see `ivadomed.compat.boxes`."""
