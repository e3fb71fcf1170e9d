"""The process: its screen, its signals, its lock on a folder, and the cores, memory and devices it may use."""
