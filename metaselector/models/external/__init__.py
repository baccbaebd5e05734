"""Models of other libraries, wrapped in scikit-learn's methods to serve as base models."""
