"""Models of other libraries with scikit-learn's methods, so that they can be base models."""
