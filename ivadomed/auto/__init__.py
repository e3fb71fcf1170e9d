"""From a data set to a packaged ensemble within a time budget: candidates, folds, selection and records."""
