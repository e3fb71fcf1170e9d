"""A starting configuration for a data set: what is there (`survey`), and what follows from it (`choices`)."""

from ivadomed.suggest.candidates import Candidate, candidates
from ivadomed.suggest.choices import Choice, suggest, tree
from ivadomed.suggest.sizes import Machine
from ivadomed.suggest.summary import summary
from ivadomed.suggest.survey import Survey, survey

__all__ = ["Candidate", "Choice", "Machine", "Survey", "candidates", "suggest", "summary", "survey", "tree"]
