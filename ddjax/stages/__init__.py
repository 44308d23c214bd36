"""The stages of an experiment, a file each; `ddjax.pipeline` puts them in order."""
