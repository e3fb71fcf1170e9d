"""Entry points of the `ivadomed_*` commands."""

from ivadomed.runtime.console import prepare_process

prepare_process()  # before tools load libraries
