"""Where training data comes from: generated scenes, label files, augmentation."""
