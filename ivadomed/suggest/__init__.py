"""Starting configuration for a data set: its properties (`survey`), and the resulting choices (`choices`)."""

from ivadomed.suggest.candidates import Candidate, candidates
from ivadomed.suggest.choices import Choice, suggest, tree
from ivadomed.suggest.sizes import Machine
from ivadomed.suggest.summary import summary
from ivadomed.suggest.survey import Survey, survey

__all__ = ["Candidate", "Choice", "Machine", "Survey", "candidates", "suggest", "summary", "survey", "tree"]
