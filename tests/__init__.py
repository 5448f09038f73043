"""Tests of the template: what it asks, what it refuses, and what it renders."""
