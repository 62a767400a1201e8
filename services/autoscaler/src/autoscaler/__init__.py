"""Keeps as many replicas of each service as its load needs, within bounds."""
