output "sftp_host" {
  description = "Where schools connect, unless `provisioning: host` names another."
  value       = aws_transfer_server.schools.endpoint
}

output "sftp_host_key" {
  description = "For `provisioning: host_key` of the environment's file, and for the schools."
  value       = aws_transfer_server.schools.host_key_fingerprint
}

output "log_group" {
  description = "Who logged in and what was uploaded."
  value       = aws_cloudwatch_log_group.transfer.name
}
