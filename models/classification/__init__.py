"""Image classifiers of the lecture, from a linear score to a convolutional network."""
