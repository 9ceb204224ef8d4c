"""Where a process begins: the command, the server, the AWS Lambda function."""
