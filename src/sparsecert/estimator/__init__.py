"""The scikit-learn estimator for tables, their columns, and a scorer."""
