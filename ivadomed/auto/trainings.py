"""Trainings, tests and held-out predictions of a run, each once, in whatever process they are given to."""
