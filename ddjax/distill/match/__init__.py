"""What methods share that learn images through networks whose weights are drawn anew.

`options` are the settings that all of them have, `real` draws real images of every
class, `siamese` shows real and synthetic images under one augmentation, `distances` are
minimised, `loop` runs the iterations of a set and resumes after a stop.
"""
