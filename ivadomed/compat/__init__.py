"""The API of ivadomed 2.x, as thin adapters over the current implementation.

The package itself does not import this subpackage. Its functions keep their original import paths, such as
``ivadomed.main.run_command``, see ``ivadomed.runtime.moved``.
"""
