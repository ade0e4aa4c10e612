"""A package, since a dependency of the sagemaker SDK brings another of this name, which would hide a mere folder."""
