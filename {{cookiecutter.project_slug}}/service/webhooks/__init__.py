"""Webhooks: a job that has ended is posted to its `callback_url`, signed as Standard Webhooks say."""
