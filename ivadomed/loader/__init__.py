"""From a BIDS data set to batches, a folder for each step: ``bids``, ``cases``, ``split``, ``prepared``, ``samples``.

The modules beside these folders carry or serve the documented names of ivadomed 2.9.10 (``bids_dataframe``,
``loader``, ``film``, ...); ``recipe`` reads from the configuration what all of them need.
"""
