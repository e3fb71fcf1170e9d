"""From a data set to batches, one folder per step: ``layouts`` to ``split``, ``cases``, ``prepared``, ``samples``.

The modules next to these folders provide the documented import paths of ivadomed 2.9.10 (``bids_dataframe``,
``loader``, ``film``, ...); ``recipe`` reads the settings that all of them share from the configuration.
"""
