"""From a data set to batches, a folder for each step: ``layouts`` to ``split``, ``cases``, ``prepared``, ``samples``.

The modules next to these folders carry or serve the documented names of ivadomed 2.9.10 (``bids_dataframe``,
``loader``, ``film``, ...); ``recipe`` reads from the configuration what all of them need.
"""
