"""File formats and layouts of data sets, each read without trusting what it says."""
