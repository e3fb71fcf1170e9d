"""The API of ivadomed 2.x, as thin adapters over the current implementation.

Nothing of the package imports this room. Its functions are reached by the paths they have always had, such as
``ivadomed.main.run_command``, see ``ivadomed.runtime.moved``.
"""
