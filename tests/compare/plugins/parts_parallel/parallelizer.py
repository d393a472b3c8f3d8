def parts(self):
    import glob
    import os

    return [(path,) for path in sorted(glob.glob(os.path.join(self.data_folder, "part*.jsonl")))]
