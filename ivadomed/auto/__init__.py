"""From a data set to a packaged ensemble within a budget of time: candidates, folds, their choice and their record."""
