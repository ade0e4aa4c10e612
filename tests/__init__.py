"""A package, since a dependency of the sagemaker SDK installs another one of this name, which would hide a mere folder."""
