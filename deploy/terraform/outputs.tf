output "sftp_host" {
  description = "Where schools connect, unless `sftp: host` of the environment's file names another."
  value       = aws_transfer_server.schools.endpoint
}

output "sftp_fingerprint" {
  description = "For `sftp: fingerprint` of the environment's file, and so for the schools."
  value       = aws_transfer_server.schools.host_key_fingerprint
}

output "log_group" {
  description = "Who logged in and what was uploaded."
  value       = aws_cloudwatch_log_group.transfer.name
}
