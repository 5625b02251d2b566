"""`thaw check`: what clones of a function would share, found in its source and in real clones.

`lint` reads source. `clones` compares what restored clones said and did. Both speak in `findings.Finding`, and `report`
writes those for people, editors and CI. Nothing here runs a machine or needs Linux: `thawd.clonetest` runs the clones.
"""
