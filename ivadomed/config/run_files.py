"""Names of the files that a training leaves in the folder of its run."""

CHECKPOINT, BEST, FINAL = "checkpoint.pth.tar", "best_model.pt", "final_model.pt"
