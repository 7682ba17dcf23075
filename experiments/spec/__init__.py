"""What is run: data sets, settings, methods, grids and their flags."""
