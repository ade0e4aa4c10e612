"""The ports on AWS. The only room that imports boto3, botocore or sagemaker."""
