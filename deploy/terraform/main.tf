# What all clients share. Their users, keys and policies are made by `etl provision`, never here.
# The names are those that include/environments/<environment>.yaml says.

data "aws_caller_identity" "current" {}

locals {
  name           = "etl-${var.environment}"
  clients_bucket = "school-files-${var.environment}"
  storage_bucket = "etl-${var.environment}"
  account        = data.aws_caller_identity.current.account_id
}

# --- the key that encrypts both buckets and the log ---------------------------------------------------

resource "aws_kms_key" "files" {
  description             = "Schools' files of ${var.environment}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "files" {
  name          = "alias/${local.name}"
  target_key_id = aws_kms_key.files.key_id
}

data "aws_iam_policy_document" "key" {
  statement {
    sid       = "Account"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${local.account}:root"]
    }
  }

  statement {
    sid       = "Log"
    actions   = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["logs.${var.region}.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:aws:logs:${var.region}:${local.account}:log-group:/aws/transfer/${local.name}"]
    }
  }
}

# --- the schools' folders, and our own archive ----------------------------------------------------------

resource "aws_s3_bucket" "files" {
  for_each = toset([local.clients_bucket, local.storage_bucket])
  bucket   = each.key

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "files" {
  for_each = aws_s3_bucket.files
  bucket   = each.value.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.files.arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "files" {
  for_each                = aws_s3_bucket.files
  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "files" {
  for_each = aws_s3_bucket.files
  bucket   = each.value.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "files" {
  for_each = aws_s3_bucket.files
  bucket   = each.value.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "files" {
  for_each   = aws_s3_bucket.files
  bucket     = each.value.id
  depends_on = [aws_s3_bucket_versioning.files]

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.old_versions_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }

  # mappings of runs that nobody clears any more; what is in use is put there again by the dag-processor
  rule {
    id     = "old-snapshots"
    status = "Enabled"

    filter {
      prefix = "bundles/"
    }

    expiration {
      days = var.old_snapshots_days
    }
  }
}

# nobody reads or writes without TLS
resource "aws_s3_bucket_policy" "files" {
  for_each   = aws_s3_bucket.files
  bucket     = each.value.id
  policy     = data.aws_iam_policy_document.tls[each.key].json
  depends_on = [aws_s3_bucket_public_access_block.files]
}

data "aws_iam_policy_document" "tls" {
  for_each = aws_s3_bucket.files

  statement {
    sid       = "OnlyTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [each.value.arn, "${each.value.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

# --- the role that the SFTP server takes for a user; the user's own policy narrows it to its folder -----

resource "aws_iam_role" "school_files" {
  name               = "${local.name}-school-files"
  assume_role_policy = data.aws_iam_policy_document.transfer_may_take.json
}

data "aws_iam_policy_document" "transfer_may_take" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["transfer.amazonaws.com"]
    }

    # not for the servers of another account
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role_policy" "school_files" {
  name   = "school-files"
  role   = aws_iam_role.school_files.id
  policy = data.aws_iam_policy_document.school_files.json
}

data "aws_iam_policy_document" "school_files" {
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = ["arn:aws:s3:::${local.clients_bucket}"]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["clients/*"]
    }
  }

  statement {
    sid       = "Objects"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = ["arn:aws:s3:::${local.clients_bucket}/clients/*"]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.files.arn]
  }
}

# --- the SFTP server and its log --------------------------------------------------------------------------

resource "aws_cloudwatch_log_group" "transfer" {
  name              = "/aws/transfer/${local.name}"
  retention_in_days = var.log_days
  kms_key_id        = aws_kms_key.files.arn
}

resource "aws_iam_role" "transfer_log" {
  name               = "${local.name}-transfer-log"
  assume_role_policy = data.aws_iam_policy_document.transfer_may_take.json
}

resource "aws_iam_role_policy_attachment" "transfer_log" {
  role       = aws_iam_role.transfer_log.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSTransferLoggingAccess"
}

resource "aws_transfer_server" "schools" {
  endpoint_type               = "PUBLIC"
  protocols                   = ["SFTP"]
  domain                      = "S3"
  identity_provider_type      = "SERVICE_MANAGED"
  security_policy_name        = "TransferSecurityPolicy-2024-01"
  logging_role                = aws_iam_role.transfer_log.arn
  structured_log_destinations = ["${aws_cloudwatch_log_group.transfer.arn}:*"]
  force_destroy               = false

  # `etl provision` finds the server by this
  tags = {
    Name = local.name
  }

  lifecycle {
    # with another server every school would meet another host key
    prevent_destroy = true
  }
}
