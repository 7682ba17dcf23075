"""Measures of samples, critics and training: a row each, and the lines of metrics made of them."""
