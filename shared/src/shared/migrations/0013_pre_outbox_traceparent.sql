-- The trace of the request that made a change, so that its announcement belongs to it.

ALTER TABLE outbox ADD COLUMN traceparent text;
COMMENT ON COLUMN outbox.traceparent IS 'W3C Trace Context; null where the request was not traced.';
