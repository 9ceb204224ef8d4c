"""The cloud as an AWS Lambda function."""
