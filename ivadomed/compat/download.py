"""``ivadomed.scripts.download_data`` of 2.x."""

from __future__ import annotations

from ivadomed.scripts.download_data import ITEMS

DICT_URL = {name: {"url": list(item.urls), "description": item.description} for name, item in ITEMS.items()}
"""What can be downloaded: the addresses to try in order, and a description."""
