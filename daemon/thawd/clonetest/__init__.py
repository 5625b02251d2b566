"""The clone test's machines. What they did is judged by `thaw_check.clones`."""
