"""Models of other libraries as scikit-learn classifiers, so that they can be base models."""
