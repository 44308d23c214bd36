"""The stations of the road, each a function that makes or reuses one artifact."""
