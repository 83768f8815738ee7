variable "environment" {
  description = "A file of include/environments/: production or staging."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.environment))
    error_message = "The name of an environment has small letters, digits and -."
  }
}

variable "region" {
  description = "As `provisioning: region` of the environment's file says."
  type        = string
  default     = "us-east-1"
}

variable "log_days" {
  description = "How long the server's log of logins and uploads is kept."
  type        = number
  default     = 365
}

variable "old_versions_days" {
  description = "How long a file that was replaced or deleted can be brought back."
  type        = number
  default     = 90
}

variable "old_snapshots_days" {
  description = "How long a run can be cleared or taken up again with the mappings that it began with."
  type        = number
  default     = 180
}
