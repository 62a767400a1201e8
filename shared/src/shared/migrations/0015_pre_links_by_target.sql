-- Finding a link by its target: a number of eight bytes instead of up to 2048 characters. Two
-- targets may share a number, so what is found by it has to be compared.
CREATE INDEX urls_by_target ON urls (hashtextextended(original_url, 0), user_id, id)
    WHERE deleted_at IS NULL;
