-- Where a token's owner wants to be told of ended jobs. The secret signs, so it is kept as it is.
ALTER TABLE http_tokens ADD COLUMN webhook_url TEXT;
ALTER TABLE http_tokens ADD COLUMN webhook_secret TEXT;
