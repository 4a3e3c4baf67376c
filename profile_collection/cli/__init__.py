"""The program ``vo2``: a file a group of commands, each a thin layer."""
