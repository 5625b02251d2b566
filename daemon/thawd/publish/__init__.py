"""Publishing: a Pending version becomes Active or Failed in the background."""
