"""Process-level services: screen output, signals, folder locks, and available cores, memory and devices."""
