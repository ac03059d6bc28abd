"""What launch files need: arguments, rig files, recipes, RViz."""
