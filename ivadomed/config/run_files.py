"""Names of the files in the folder of a run: its configuration and the files written by training."""

CONFIG = "config_file.json"
CHECKPOINT, BEST, FINAL = "checkpoint.pth.tar", "best_model.pt", "final_model.pt"
