"""The clone test's machines. `thaw_check.clones` judges what they did."""
