"""Expert codes -> a patient, two films, the truth; many of them -> the default corpus."""
