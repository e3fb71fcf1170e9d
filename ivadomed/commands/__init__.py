"""One module per command: train, test, eval, segment. The only functions that take the whole configuration."""

from ivadomed.commands.evaluate import eval_command
from ivadomed.commands.run import run_command
from ivadomed.commands.segment import segment_command
from ivadomed.commands.test import test_command
from ivadomed.commands.train import train_command

__all__ = ["eval_command", "run_command", "segment_command", "test_command", "train_command"]
